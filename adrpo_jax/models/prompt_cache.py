"""Conditions of prompts on disk: each prompt is encoded once, for all runs.

A file holds one prompt's condition. Its name is a digest of the text; its
folder's name one of all that decides the numbers: the encoders' files, the
length, the dtype. Of large files the digest takes the header, the size and
blocks from beginning to end, not all of their gigabytes.
"""

from collections.abc import Callable, Iterable, Sequence
import hashlib
import pathlib

import jax
from jax.experimental import multihost_utils
import numpy as np
from safetensors.numpy import load_file, save_file

from adrpo_jax.models.condition import Condition
from adrpo_jax.system.files import replacing
from adrpo_jax.types import PyTree

Encode = Callable[[Sequence[str]], Iterable[tuple[str, Condition]]]


class PromptCache:
  """Prompts -> conditions, from a folder that is filled as needed."""

  def __init__(self, folder: pathlib.Path, encode: Encode):
    """Makes the cache.

    Args:
      folder: of this cache; see `fingerprint` for its name.
      encode: (texts) -> (text, condition) one by one, for those not there yet.
    """
    self._folder, self._encode = folder, encode

  def __call__(self, texts: Sequence[str]) -> Callable[[np.ndarray], PyTree]:
    """(texts) -> (ids [N]) -> the conditions of these texts [N, ...].

    Encodes what is missing, on all processes if it is on one. Conditions are
    read when they are asked for, so that a set may be larger than memory.
    """
    distinct = list(dict.fromkeys(texts))
    missing = np.array([not self._file(text).is_file() for text in distinct])
    if jax.process_count() > 1:
      missing = multihost_utils.process_allgather(missing).any(0)
    wanted = [t for t, gone in zip(distinct, missing, strict=True) if gone]
    if wanted:
      self._folder.mkdir(parents=True, exist_ok=True)
      for text, condition in self._encode(wanted):
        with replacing(self._file(text)) as new:
          save_file(dict(condition._asdict()), new)
    files = [self._file(text) for text in texts]

    def rows(ids: np.ndarray) -> PyTree:
      read = {i: load_file(files[i]) for i in dict.fromkeys(map(int, ids))}
      return Condition(
        *(
          np.stack([read[int(i)][name] for i in ids])
          for name in Condition._fields
        )
      )

    return rows

  def _file(self, text: str) -> pathlib.Path:
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return self._folder / f'{digest}.safetensors'
