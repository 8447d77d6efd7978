"""Tokenizers of Hugging Face folders: texts as rows of one length."""

from collections.abc import Callable, Sequence
import functools
import pathlib
from typing import Any

from absl import logging
import numpy as np

from adrpo_jax.errors import InputError


def padding_tokenizer(
  folder: pathlib.Path, length: int
) -> Callable[[Sequence[str]], np.ndarray]:
  """(texts) -> [N, length] int32, padded as the folder's tokenizer pads.

  Longer texts are cut, and said to be.

  Raises:
    InputError: there is no tokenizer, or transformers cannot read it.
  """
  tokenizer = load_tokenizer(folder)

  def tokens(texts: Sequence[str]) -> np.ndarray:
    whole = tokenizer(list(texts))['input_ids']
    cut = [t for t, ids in zip(texts, whole, strict=True) if len(ids) > length]
    if cut:
      logging.warning(
        '%d of %d prompts are longer than %d tokens; what is beyond is not '
        'read by %s: %r',
        *(len(cut), len(texts), length, folder.name, cut[0][:60]),
      )
    padded = tokenizer(
      list(texts), padding='max_length', max_length=length, truncation=True
    )
    return np.asarray(padded['input_ids'], np.int32)

  return tokens


@functools.cache
def load_tokenizer(folder: pathlib.Path) -> Any:
  """The tokenizer in a folder; transformers reads it, and needs no PyTorch.

  Raises:
    InputError: there is none, or transformers cannot read it.
  """
  import transformers

  try:
    return transformers.AutoTokenizer.from_pretrained(str(folder))
  except (OSError, ValueError, KeyError) as error:
    raise InputError(
      f'Expected a tokenizer in {folder}, that transformers reads. It says: '
      f'{str(error).splitlines()[0]}'
    ) from error


def text_decoder(folder: pathlib.Path) -> Callable[[Sequence[int]], str]:
  """(token ids) -> their text, without special tokens and otherwise as it is.

  May be called from several threads.

  Raises:
    InputError: see `load_tokenizer`.
  """
  tokenizer = load_tokenizer(folder)
  return lambda ids: tokenizer.decode(
    list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
  )
