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
from adrpo_jax.files import Staged, on_disk
from adrpo_jax.models import load as weights
from adrpo_jax.types import Array, PyTree, Scores

NAMES = ('ids', 'winner', 'loser', 'rewards')


def best_and_worst(samples: Array, scores: Scores) -> dict[str, Array]:
  """Of each prompt's samples [P, G, *D] the best and the worst valid one."""
  low = jnp.where(scores.valid, scores.rewards, jnp.inf)
  high = jnp.where(scores.valid, scores.rewards, -jnp.inf)
  rows = jnp.arange(samples.shape[0])
  best, worst = jnp.argmax(high, 1), jnp.argmin(low, 1)
  pair = jnp.stack([scores.rewards[rows, best], scores.rewards[rows, worst]], 1)
  known = scores.valid.any(1)[:, None]
  return {
    'winner': samples[rows, best],
    'loser': samples[rows, worst],
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
    pairs = judged(samples['x0'], scores)
    parts.append(
      multihost_utils.process_allgather(pairs | {'ids': ids}, tiled=True)
    )
    shown(step)
  pairs = {name: np.concatenate([p[name] for p in parts]) for name in NAMES}
  latent = json.dumps(pairs['winner'].shape[1:])
  count = str(len(pairs['ids']))
  with Staged(path.parent) as staged:
    told = {'pairs': count, 'latent': latent}
    weights.save_tree(staged.folder / path.name, pairs, told)
  multihost_utils.sync_global_devices(f'{path} is written')


def read(path: epath.Path) -> dict[str, np.ndarray]:
  """The stored pairs, checked.

  Raises:
    InputError: no such file, a pickle, or arrays that are not pairs.
  """
  with on_disk(path) as file:
    described = weights.read_metadata(file)
    return weights.load_tree(file, _shapes(described, path))


def _shapes(described: dict[str, str], path: epath.Path) -> PyTree:
  """What the file of pairs holds, by its metadata."""
  try:
    latent = tuple(json.loads(described['latent']))
    count = int(described['pairs'])
  except (KeyError, ValueError) as error:
    raise InputError(
      f'Expected metadata "pairs" (their number) and "latent" (a JSON list, '
      f'the shape of a latent) in {path}, got {described}.'
    ) from error
  latents = jax.ShapeDtypeStruct((count, *latent), jnp.float32)
  return {
    'ids': jax.ShapeDtypeStruct((count,), jnp.int32),
    'winner': latents,
    'loser': latents,
    'rewards': jax.ShapeDtypeStruct((count, 2), jnp.float32),
  }


def as_experience(
  pairs: dict[str, np.ndarray], rows: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray], Scores]:
  """Rows of the stored pairs as (ids, samples [P, 2, *D], scores)."""
  rewards = pairs['rewards'][rows]
  samples = np.stack([pairs['winner'][rows], pairs['loser'][rows]], 1)
  valid = np.ones(rewards.shape, bool)
  return (
    pairs['ids'][rows],
    {'x0': samples},
    Scores(jnp.asarray(rewards), jnp.asarray(valid), {}),
  )
