"""A cache of encoded prompts on disk: each prompt is encoded once for all runs.

A file holds the condition of one prompt, and its name is a digest of the text.
The name of the folder is a digest of everything that determines the numbers:
the files of the encoders, the length, the dtype. For large files this digest
covers the header, the size and blocks spread over the file rather than all of
its gigabytes. `system.cache_files` says what becomes of damaged files.
"""

from collections.abc import Callable, Iterable, Sequence
import hashlib
import pathlib

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np
from safetensors import deserialize
from safetensors.numpy import save

from adrpo_jax.errors import RunError
from adrpo_jax.models.condition import Condition
from adrpo_jax.system import cache_files
from adrpo_jax.types import PyTree

_DTYPES: dict[object, np.dtype] = {
  'BF16': np.dtype(jnp.bfloat16),
  'F16': np.dtype(np.float16),
  'F32': np.dtype(np.float32),
}

Encode = Callable[[Sequence[str]], Iterable[tuple[str, Condition]]]


class PromptCache:
  """Maps prompts to conditions; a folder stores what has been encoded."""

  def __init__(self, folder: pathlib.Path, encode: Encode):
    """Makes the cache.

    Args:
      folder: where this cache stores its files; `fingerprint` makes its name.
      encode: (texts) -> (text, condition) one by one. It is called with the
        texts that have no whole file yet.
    """
    self._folder, self._encode = folder, encode
    self._memory: dict[str, Condition] = {}  # where no file can be written

  def __call__(self, texts: Sequence[str]) -> Callable[[np.ndarray], PyTree]:
    """(texts) -> (ids [N]) -> the conditions of these texts [N, ...].

    Encodes the texts that any process is missing, on all processes. Conditions
    are read when they are requested, so the set may be larger than the memory.
    """
    distinct = [t for t in dict.fromkeys(texts) if t not in self._memory]
    whole = cache_files.are_whole([self._file(text) for text in distinct])
    missing = ~np.array(whole, bool)
    if jax.process_count() > 1:
      missing = multihost_utils.process_allgather(missing).any(0)
    new_texts = [t for t, new in zip(distinct, missing, strict=True) if new]
    if new_texts:
      for text, condition in self._encode(new_texts):
        stored = save(dict(condition._asdict()))
        if not cache_files.write(self._file(text), stored):
          self._memory[text] = condition

    def rows(ids: np.ndarray) -> PyTree:
      read = {i: self._condition(texts[i]) for i in set(map(int, ids))}
      return Condition(
        *(
          np.stack([getattr(read[int(i)], name) for i in ids])
          for name in Condition._fields
        )
      )

    return rows

  def _condition(self, text: str) -> Condition:
    """The condition of a text that was encoded.

    Raises:
      RunError: its file has gone, or was damaged, since it was encoded.
    """
    if text in self._memory:
      return self._memory[text]
    stored = cache_files.read(self._file(text))
    if stored is None:
      raise RunError(
        f'The cached prompt {self._file(text)} was removed or damaged during '
        'the run. Give the same command again: it encodes the prompt anew and '
        'goes on from the last checkpoint.'
      )
    return Condition(**_arrays(stored))

  def _file(self, text: str) -> pathlib.Path:
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return self._folder / f'{digest}.safetensors'


def _arrays(content: bytes) -> dict[str, np.ndarray]:
  """Reads safetensors from memory, which the library does without bfloat16."""
  return {
    name: np.frombuffer(tensor['data'], _DTYPES[tensor['dtype']]).reshape(
      tensor['shape']
    )
    for name, tensor in deserialize(content)
  }
