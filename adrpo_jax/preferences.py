"""Offline preference pairs: drawn once from the base, judged, stored.

  preferences/pairs.safetensors
    ids [N] int32             the prompt of each pair
    winner, loser [N, *D]     clean latents
    rewards [N, 2]            of winner and loser; equal rewards are no pair
  metadata: pairs = N, latent = *D as a JSON list

The file is the method's data set: a user's own, in the same form, takes its
place with --config.method.dpo.pairs=PATH.
"""

from collections.abc import Callable
import json

from etils import epath
import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.files import safetensors_trees
from adrpo_jax.system.files import StagedFolder, on_disk
from adrpo_jax.types import Array, PyTree, Scores


def best_and_worst(samples: PyTree, scores: Scores) -> dict[str, PyTree]:
  """Of each prompt's samples [P, G, ...] the best and the worst valid one."""
  low = jnp.where(scores.valid, scores.rewards, jnp.inf)
  high = jnp.where(scores.valid, scores.rewards, -jnp.inf)
  rows = jnp.arange(len(scores.rewards))
  best, worst = jnp.argmax(high, 1), jnp.argmin(low, 1)
  pair = jnp.stack([scores.rewards[rows, best], scores.rewards[rows, worst]], 1)
  known = scores.valid.any(1)[:, None]
  return {
    'winner': jax.tree.map(lambda leaf: leaf[rows, best], samples),
    'loser': jax.tree.map(lambda leaf: leaf[rows, worst], samples),
    'rewards': jnp.where(known, pair, 0.0),  # equal, hence no pair
  }


def draw(
  path: epath.Path,
  steps: int,
  sample: Callable[[int], tuple[Array, PyTree, Scores]],
  shown: Callable[[int], None],
) -> None:
  """Spends the whole sample budget on pairs: (step) -> ids, samples, scores.

  A function of the step, so a run that was killed simply draws them again.
  """
  parts = []
  judged = jax.jit(best_and_worst)
  for step in range(steps):
    ids, samples, scores = sample(step)
    pairs = judged(samples, scores) | {'ids': ids}
    parts.append(multihost_utils.process_allgather(pairs, tiled=True))
    shown(step)
  pairs = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
  of_one = {
    name: [leaf.dtype.name, leaf.shape[1:]]
    for name, leaf in pairs['winner'].items()
  }
  told = {'pairs': str(len(pairs['ids'])), 'sample': json.dumps(of_one)}
  with StagedFolder(path.parent) as staged:
    safetensors_trees.save_tree(staged.folder / path.name, pairs, told)
  multihost_utils.sync_global_devices(f'{path} is written')


def read(path: epath.Path) -> dict[str, PyTree]:
  """The stored pairs, checked.

  Raises:
    InputError: no such file, a pickle, or arrays that are not pairs.
  """
  with on_disk(path) as file:
    described = safetensors_trees.read_metadata(file)
    return safetensors_trees.load_tree(file, _shapes(described, path))


def _shapes(described: dict[str, str], path: epath.Path) -> PyTree:
  """What the file of pairs holds, by its metadata."""
  try:
    count = int(described['pairs'])
    sample = {
      name: jax.ShapeDtypeStruct((count, *axes), np.dtype(dtype))
      for name, (dtype, axes) in json.loads(described['sample']).items()
    }
  except (KeyError, ValueError, TypeError, AttributeError) as error:
    raise InputError(
      'Expected metadata "pairs" (their number) and "sample" (JSON, the dtype '
      f'and shape of each array of one) in {path}, got {described}.'
    ) from error
  return {
    'ids': jax.ShapeDtypeStruct((count,), jnp.int32),
    'winner': sample,
    'loser': sample,
    'rewards': jax.ShapeDtypeStruct((count, 2), jnp.float32),
  }


def as_experience(
  pairs: dict[str, PyTree], rows: np.ndarray
) -> tuple[np.ndarray, PyTree, Scores]:
  """Rows of the stored pairs as (ids, samples [P, 2, ...], scores)."""
  rewards = pairs['rewards'][rows]
  samples = jax.tree.map(
    lambda winner, loser: np.stack([winner[rows], loser[rows]], 1),
    pairs['winner'],
    pairs['loser'],
  )
  valid = np.ones(rewards.shape, bool)
  scores = Scores(jnp.asarray(rewards), jnp.asarray(valid), {})
  return pairs['ids'][rows], samples, scores
