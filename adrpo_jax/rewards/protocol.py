"""The protocol of rewards, and how a judge of images becomes a reward.

A reward is a function (`types.PromptBatch`, decoded) -> `types.Scores`.
`decoded` is what the `decode` of a modality returns: images [P, G, H, W, 3] in
[0, 1], or uint8 as files have them; or the samples of a language model, see
`modalities.language`. A reward never raises for a single sample that it cannot
judge: it returns valid = False there, and the method leaves the sample out.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array, PromptBatch, PyTree, Scores

Reward = Callable[[PromptBatch, PyTree], Scores]
Judge = Callable[[Array, PyTree], Mapping[str, Array]]


class RewardError(RuntimeError):
  """More samples could not be judged than a run allows."""


def in_unit_range(images: Array) -> Array:
  """Returns images in [0, 1] unchanged and uint8 divided by 255; float32."""
  scale = 255 if images.dtype == jnp.uint8 else 1
  return images.astype(jnp.float32) / scale


def on_device(judge: Judge) -> Reward:
  """Makes a jitted reward of a judge of single images.

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
    numbers = dict(
      judge(
        in_unit_range(images).reshape(prompts * samples, *images.shape[2:]),
        jax.tree.map(lambda leaf: jnp.repeat(leaf, samples, 0), facts),
      )
    )
    for name, value in numbers.items():
      if value.shape != (prompts * samples,):
        raise ValueError(
          f'Expected {name!r} of the judge to have shape '
          f'{(prompts * samples,)}, one number for each image, got '
          f'{value.shape}.'
        )
    numbers = {k: v.reshape(prompts, samples) for k, v in numbers.items()}
    valid = jnp.isfinite(numbers['reward'])
    numbers = {
      k: jnp.where(valid, v, jnp.zeros_like(v)) for k, v in numbers.items()
    }
    return Scores(numbers.pop('reward'), valid, numbers)

  def reward(prompts: PromptBatch, images: Array) -> Scores:
    return score(prompts.facts, images)

  return reward


def check_invalid_share(
  share: float, *, limit: float, name: str = 'the reward', reason: str = ''
) -> None:
  """Raises an error where too many samples could not be judged.

  Args:
    share: of samples that are invalid, in [0, 1].
    limit: the largest share that is allowed.
    name: of the reward, for the message.
    reason: the last failure, as text.

  Raises:
    RewardError: share > limit.
  """
  if share > limit:
    raise RewardError(
      f'{name} could not judge {share:.1%} of the samples, more than the limit '
      f'of {limit:.1%}. {reason or "Their rewards were not finite."} Repair '
      'the reward, or raise the limit on invalid samples.'
    )
