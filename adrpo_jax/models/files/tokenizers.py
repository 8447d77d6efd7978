"""Tokenizers of Hugging Face folders, read by transformers."""

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
  """Makes (texts) -> [N, length] int32, padded as the tokenizer's config says.

  Longer texts are cut, with a warning.

  Raises:
    InputError: there is no tokenizer, or transformers cannot read it.
  """
  tokenizer = load_tokenizer(folder)

  def tokens(texts: Sequence[str]) -> np.ndarray:
    rows = tokenizer(list(texts))['input_ids']
    cut = [t for t, ids in zip(texts, rows, strict=True) if len(ids) > length]
    if cut:
      logging.warning(
        '%d of %d prompts are longer than %d tokens; %s does not read what '
        'is beyond: %r',
        *(len(cut), len(texts), length, folder.name, cut[0][:60]),
      )
    padded = tokenizer(
      list(texts), padding='max_length', max_length=length, truncation=True
    )
    return np.asarray(padded['input_ids'], np.int32)

  return tokens


@functools.cache
def load_tokenizer(folder: pathlib.Path) -> Any:
  """Loads the tokenizer in a folder with transformers, without PyTorch.

  Raises:
    InputError: there is none, or transformers cannot read it.
  """
  import transformers

  try:
    return transformers.AutoTokenizer.from_pretrained(str(folder))
  except (OSError, ValueError, KeyError) as error:
    raise InputError(
      f'Expected a tokenizer in {folder} that transformers can read. It says: '
      f'{str(error).splitlines()[0]}'
    ) from error


def text_decoder(folder: pathlib.Path) -> Callable[[Sequence[int]], str]:
  """Makes (token ids) -> text without special tokens, otherwise unchanged.

  The function may be called from several threads.

  Raises:
    InputError: see `load_tokenizer`.
  """
  tokenizer = load_tokenizer(folder)
  return lambda ids: tokenizer.decode(
    list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
  )
