"""A distribution of the lengths of completions, for the costs of a rollout.

How long a rollout takes depends on how many tokens its completions have, which
no program says. Lengths are log-normal with a mean and a standard deviation, at
least 1 and at most the room of a completion, and drawn with a fixed seed.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.sampling import token_steps
from adrpo_jax.sampling.token_steps import TokenSteps


class CompletionLengths(NamedTuple):
  """Tokens of a completion: mean and standard deviation."""

  mean: float
  spread: float

  def draw(self, shape: tuple[int, ...], longest: int) -> np.ndarray:
    """Returns lengths of this shape, at most `longest`."""
    variance = np.log1p((self.spread / self.mean) ** 2)
    normal = np.random.default_rng(0).normal(size=shape)
    lengths = self.mean * np.exp(variance**0.5 * normal - variance / 2)
    return np.clip(np.round(lengths), 1, longest).astype(int)


def parse(text: str) -> CompletionLengths | None:
  """Reads 'MEAN:SPREAD'; None for ''.

  Raises:
    InputError: it is neither, or the mean is below 1.
  """
  if not text:
    return None
  mean, _, spread = text.partition(':')
  try:
    lengths = CompletionLengths(float(mean), float(spread))
  except ValueError:
    lengths = CompletionLengths(0, 0)
  if not (1 <= lengths.mean < np.inf and 0 <= lengths.spread < np.inf):
    raise InputError(
      'Expected --completion_lengths=MEAN:SPREAD, the mean and the standard '
      f'deviation of the tokens of a completion, such as 256:200, got {text!r}.'
    )
  return lengths


def token_steps_of(
  config: ConfigDict,
  mesh: Mapping[str, int],
  lengths: CompletionLengths | None,
) -> dict[str, TokenSteps]:
  """Returns rollout -> the steps of its loops; {} without a language model.

  Args:
    config: has the batches, the room of a completion, and the sequences that
      are sampled at a time.
    mesh: the sizes of its axes.
    lengths: of completions; None if all fill their room.

  Raises:
    InputError: there are lengths, and the model draws no tokens.
  """
  if 'max_completion_length' not in config.sampler:
    if lengths:
      raise InputError(
        'Expected --completion_lengths for a language model, got it for one '
        'that draws no tokens.'
      )
    return {}
  longest, rows = (
    config.sampler.max_completion_length,
    config.sampler.max_num_seqs,
  )
  shards = mesh['data'] * mesh['fsdp']

  def steps(prompts: int, samples: int) -> TokenSteps:
    shape = shards, prompts * samples // shards
    drawn = lengths.draw(shape, longest) if lengths else np.full(shape, longest)
    if not rows:
      return token_steps.all_at_once(drawn)
    return token_steps.in_turns(drawn, rows)

  prompts, evaluated = config.prompts, config.eval
  chunk = prompts.prompts_per_step // config.compute.reward_chunks
  return {
    'rollout': steps(chunk, prompts.group_size),
    'evaluation': steps(evaluated.batch_size, evaluated.group_size),
  }


def of_mean_length(
  config: ConfigDict, lengths: CompletionLengths
) -> ConfigDict:
  """Returns a config whose completions have room for the mean length."""
  config = config.copy_and_resolve_references()
  room = config.sampler.max_completion_length
  config.sampler.max_completion_length = min(round(lengths.mean), room)
  return config
