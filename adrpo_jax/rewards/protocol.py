"""The one protocol of rewards, and how a judge of images becomes one.

A reward is a function (`types.PromptBatch`, what it sees) -> `types.Scores`. It
sees what a modality's `decode` gives: images [P, G, H, W, 3] in [0, 1], or
uint8 as files have them; or the samples of a language model, see
`modalities.language`. A reward never raises for a single sample that it could
not judge: it says valid = False there, and the method leaves it out.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array, PromptBatch, PyTree, Scores

Reward = Callable[[PromptBatch, PyTree], Scores]
Judge = Callable[[Array, PyTree], Mapping[str, Array]]


class RewardError(RuntimeError):
  """Too many samples could not be judged for the run to mean anything."""


def in_unit_range(images: Array) -> Array:
  """Images in [0, 1] as they are, uint8 divided by 255; float32."""
  scale = 255 if images.dtype == jnp.uint8 else 1
  return images.astype(jnp.float32) / scale


def on_device(judge: Judge) -> Reward:
  """A jitted reward made of a judge of single images.

  Args:
    judge: pure; (images [B, H, W, 3], facts [B, ...]) -> {'reward': [B]} and
      any further measures by name, [B] each. Compiled once for each shape.

  Returns:
    A reward that is pure itself, and can be called inside another jit. Samples
    with a reward that is not finite are invalid; their numbers are 0.
  """

  @jax.jit
  def score(facts: PyTree, images: Array) -> Scores:
    prompts, samples = images.shape[:2]
    judged = dict(
      judge(
        in_unit_range(images).reshape(prompts * samples, *images.shape[2:]),
        jax.tree.map(lambda leaf: jnp.repeat(leaf, samples, 0), facts),
      )
    )
    for name, value in judged.items():
      if value.shape != (prompts * samples,):
        raise ValueError(
          f'Expected {name!r} of the judge to have shape '
          f'{(prompts * samples,)}, one number for each image, got '
          f'{value.shape}.'
        )
    judged = {k: v.reshape(prompts, samples) for k, v in judged.items()}
    valid = jnp.isfinite(judged['reward'])
    kept = {
      k: jnp.where(valid, v, jnp.zeros_like(v)) for k, v in judged.items()
    }
    return Scores(kept.pop('reward'), valid, kept)

  def reward(prompts: PromptBatch, images: Array) -> Scores:
    return score(prompts.facts, images)

  return reward


def check_invalid_share(
  share: float, *, limit: float, name: str = 'the reward', reason: str = ''
) -> None:
  """Stops the run where too many samples could not be judged.

  Args:
    share: of samples that are invalid, in [0, 1].
    limit: the largest share that is let pass.
    name: of the reward, for the message.
    reason: the last thing that went wrong, as text.

  Raises:
    RewardError: share > limit.
  """
  if share > limit:
    raise RewardError(
      f'{name} could not judge {share:.1%} of the samples, more than the limit '
      f'of {limit:.1%}. {reason or "Their rewards were not finite."} Repair '
      'the reward, or raise the limit on invalid samples.'
    )
