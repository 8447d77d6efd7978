"""Offline preference pairs: drawn once from the base, judged, stored.

A safetensors file, by default preferences/pairs.safetensors in the workdir:

  ids            [N] int32    the index of each pair's prompt in the training
                              prompts, from 0
  winner/NAME    [N, ...]     the arrays of the better sample, by name
  loser/NAME     [N, ...]     the arrays of the worse sample
  rewards        [N, 2] float32    of winner and loser; equal rewards make no
                              pair

The arrays of a sample are those of its modality: for images x0 [h, w, c]
float32, the clean latent; for language tokens [T] int32, mask [T] bool,
log_prob [T] float32 and ended [] bool. The metadata, all strings, describe
them:

  pairs     N; in a file that was drawn, "N sha256=…" of all arrays
  sample    JSON, NAME -> [dtype, shape of one sample], for example
            {"x0": ["float32", [8, 8, 8]]}

A file of this form takes the place of the drawn pairs with
--config.method.dpo.pairs=PATH. Its arrays have the dtypes and shapes that the
run itself draws. Step s trains on the next P pairs, and starts
again at the first after the last.
"""

from collections.abc import Callable, Mapping
import hashlib
import itertools
import json

from etils import epath
import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.files import safetensors_trees
from adrpo_jax.system.files import StagedFolder, on_disk
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import Array, PyTree, Scores

_MARK = ' sha256='  # before the checksum, in the entry "pairs"


def best_and_worst(samples: PyTree, scores: Scores) -> dict[str, PyTree]:
  """Picks the best and the worst valid sample of each prompt. [P, G, ...]"""
  low = jnp.where(scores.valid, scores.rewards, jnp.inf)
  high = jnp.where(scores.valid, scores.rewards, -jnp.inf)
  rows = jnp.arange(len(scores.rewards))
  best, worst = jnp.argmax(high, 1), jnp.argmin(low, 1)
  pair = jnp.stack([scores.rewards[rows, best], scores.rewards[rows, worst]], 1)
  any_valid = scores.valid.any(1)[:, None]
  return {
    'winner': jax.tree.map(lambda leaf: leaf[rows, best], samples),
    'loser': jax.tree.map(lambda leaf: leaf[rows, worst], samples),
    'rewards': jnp.where(any_valid, pair, 0.0),  # equal, hence no pair
  }


def draw(
  path: epath.Path,
  steps: int,
  sample: Callable[[int], tuple[Array, PyTree, Scores]],
  shown: Callable[[int], None],
) -> None:
  """Draws the samples of all steps and writes a pair for each prompt.

  Args:
    path: of the file.
    steps: the number of steps.
    sample: (step) -> ids, samples, scores. Since it depends on the step alone,
      a run that was killed draws the same pairs again.
    shown: (step) -> None, called after each step.
  """
  parts = []
  make_pairs = jax.jit(best_and_worst)
  for step in range(steps):
    ids, samples, scores = sample(step)
    pairs = make_pairs(samples, scores) | {'ids': ids}
    parts.append(multihost_utils.process_allgather(pairs, tiled=True))
    shown(step)
  pairs = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
  write(path, pairs)
  multihost_utils.sync_global_devices(f'{path} is written')


def write(path: epath.Path, pairs: dict[str, PyTree]) -> None:
  """Writes pairs from process 0, with the metadata that describe them."""
  of_one = {
    name: [leaf.dtype.name, leaf.shape[1:]]
    for name, leaf in pairs['winner'].items()
  }
  metadata = {
    # In one entry, which no file can lack: no damage makes a file without a
    # checksum of one that has it.
    'pairs': f'{len(pairs["ids"])}{_MARK}{_digest(pairs)}',
    'sample': json.dumps(of_one),
  }
  if jax.process_index() != 0:
    return
  with StagedFolder(path.parent) as staged:
    safetensors_trees.save_tree(staged.folder / path.name, pairs, metadata)


def read(path: epath.Path, prompts: int) -> dict[str, PyTree]:
  """Reads and checks the stored pairs; `prompts` is how many there are.

  Raises:
    InputError: no such file, a pickle, a damaged file, arrays that are not
      pairs, or values that no pairs of these prompts have.
  """
  with on_disk(path) as file:
    described = safetensors_trees.read_metadata(file)
    pairs = safetensors_trees.load_tree(file, _shapes(described, path))
  _, mark, digest = described['pairs'].partition(_MARK)
  if mark and digest != _digest(pairs):
    raise InputError(
      f'The pairs in {path} differ from their checksum: the file was damaged. '
      'Put it back from a copy, or remove it: pairs drawn from the base are '
      'then drawn again.'
    )
  fault = _fault(pairs, prompts)
  if fault:
    raise InputError(f'Expected preference pairs in {path}, got {fault}')
  return pairs


def _fault(pairs: dict[str, PyTree], prompts: int) -> str:
  """Describes the first value that pairs cannot have; '' if there is none."""
  ids, rewards = pairs['ids'], pairs['rewards']
  if not len(ids):
    return 'none. Give at least one.'
  beyond = (ids < 0) | (ids >= prompts)
  if beyond.any():
    row = int(np.argmax(beyond))
    return (
      f'the prompt {ids[row]} in pair {row}, of training prompts 0 to '
      f'{prompts - 1}. Give the --config.prompts.source that the pairs are of.'
    )
  for name, leaf in leaf_names(pairs).items():
    finite = np.isfinite(leaf) if leaf.dtype.kind == 'f' else np.ones(1, bool)
    if not finite.all():
      row = int(np.argmin(finite.reshape(len(leaf), -1).all(1)))
      return f'a value of {name} in pair {row} that is not finite.'
  worse = rewards[:, 0] < rewards[:, 1]
  if worse.any():
    row = int(np.argmax(worse))
    return (
      f'a winner of reward {rewards[row, 0]:g} and a loser of '
      f'{rewards[row, 1]:g} in pair {row}. The winner comes first.'
    )
  return ''


def check_samples(
  path: epath.Path,
  pairs: dict[str, PyTree],
  drawn: Mapping[str, jax.ShapeDtypeStruct],
  limits: Mapping[str, int],
) -> None:
  """Checks that pairs hold samples as a run draws them.

  Args:
    path: of the file of pairs.
    pairs: what `read` returns.
    drawn: name -> [P, G, ...], what a rollout of the run returns.
    limits: name -> n, of arrays that hold ids from 0 to n − 1.

  Raises:
    InputError: other arrays, dtypes or shapes, or an id beyond its limit.
  """
  expected, got = (
    {k: f'{leaf.dtype.name} {list(leaf.shape[n:])}' for k, leaf in leaves}
    for leaves, n in ((drawn.items(), 2), (pairs['winner'].items(), 1))
  )
  if expected != got:
    raise InputError(
      f'Expected samples of {expected} in the pairs {path}, as this config '
      f'draws them, got {got}. Give the config that the pairs are of, or other '
      'pairs.'
    )
  for (name, limit), side in itertools.product(
    limits.items(), ('winner', 'loser')
  ):
    ids = pairs[side][name]
    beyond = (ids < 0) | (ids >= limit)
    if beyond.any():
      row = int(np.argwhere(beyond)[0][0])
      raise InputError(
        f'Expected {name} from 0 to {limit - 1}, which the model has, in the '
        f'pairs {path}, got {ids[beyond][0]} in {side} {row}. Make the pairs '
        'with the tokenizer of the model.'
      )


def _digest(pairs: dict[str, PyTree]) -> str:
  digest = hashlib.sha256()
  for name, leaf in sorted(leaf_names(pairs).items()):
    digest.update(f'{name} {leaf.dtype.name} {leaf.shape}'.encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()


def _shapes(described: dict[str, str], path: epath.Path) -> PyTree:
  """The arrays of a file of pairs, as its metadata describe them."""
  try:
    count = int(described['pairs'].partition(_MARK)[0])
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
  """Returns rows of the stored pairs as ids, samples [P, 2, ...] and scores."""
  rewards = pairs['rewards'][rows]
  samples = jax.tree.map(
    lambda winner, loser: np.stack([winner[rows], loser[rows]], 1),
    pairs['winner'],
    pairs['loser'],
  )
  valid = np.ones(rewards.shape, bool)
  scores = Scores(jnp.asarray(rewards), jnp.asarray(valid), {})
  return pairs['ids'][rows], samples, scores
