"""The reward of constraints that a program checks: `worlds.instructions`."""

from collections.abc import Mapping

from adrpo_jax.rewards.text.protocol import TextReward
from adrpo_jax.worlds.instructions.constraints import of_reference


def has_constraints(reference: str | None) -> bool:
  """Returns True for the reference of a prompt with constraints."""
  return bool(of_reference(reference))


def instructions() -> TextReward:
  """The share of a prompt's constraints that an answer meets; in [0, 1].

  `success` is 1 where it meets all of them. It applies to prompts with
  constraints, in .jsonl
  ``{"prompt": "…", "constraints": [{"kind": "words", "at_most": 20}]}``.
  """

  def reward(
    prompt: str, text: str, reference: str | None
  ) -> Mapping[str, float] | None:
    del prompt  # The constraints say all that is asked.
    asked = of_reference(reference)
    if not asked:
      return None
    met = [constraint.met(text) for constraint in asked]
    return {'reward': sum(met) / len(met), 'success': float(all(met))}

  return reward
