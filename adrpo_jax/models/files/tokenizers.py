"""Tokenizers of Hugging Face folders, read by transformers."""

from collections.abc import Callable, Sequence
import functools
import logging as standard_logging
import pathlib
from typing import Any

from absl import logging
import numpy as np

from adrpo_jax.errors import InputError


def padding_tokenizer(
  folder: pathlib.Path, length: int, rows: int
) -> Callable[[Sequence[str]], np.ndarray]:
  """Makes (texts) -> [N, length] int32, padded as the tokenizer's config says.

  Longer texts are cut, with a warning.

  Args:
    folder: of the tokenizer.
    length: of all texts, in tokens.
    rows: of the model's embedding, its vocab_size.

  Raises:
    InputError: there is no tokenizer, or transformers cannot read it; a text
      has a token for which the model has no row.
  """
  tokenizer = load_tokenizer(folder)

  def tokens(texts: Sequence[str]) -> np.ndarray:
    whole = tokenizer(list(texts))['input_ids']
    cut = [t for t, ids in zip(texts, whole, strict=True) if len(ids) > length]
    if cut:
      logging.warning(
        '%d of %d prompts are longer than %d tokens; %s does not read what '
        'is beyond: %r',
        *(len(cut), len(texts), length, folder.name, cut[0][:60]),
      )
    padded = tokenizer(
      list(texts), padding='max_length', max_length=length, truncation=True
    )
    ids = np.asarray(padded['input_ids'], np.int32)
    check_token_ids(np.unique(ids), rows, folder)
    return ids

  return tokens


@functools.cache
def load_tokenizer(folder: pathlib.Path) -> Any:
  """Loads the tokenizer in a folder with transformers, without PyTorch.

  Raises:
    InputError: there is none, or transformers cannot read it.
  """
  import transformers

  # A tokenizer needs one word of the model's config, and transformers warns of
  # all its other fields.
  configs = standard_logging.getLogger('transformers.configuration_utils')
  level = configs.level
  configs.setLevel(standard_logging.ERROR)
  try:
    return transformers.AutoTokenizer.from_pretrained(str(folder))
  except Exception as error:  # Any: each file has a reader of its own.
    said = (str(error).splitlines() or [''])[0]
    raise InputError(
      f'Expected a tokenizer in {folder} that transformers can read. It says: '
      f'{said[:300] or type(error).__name__}'
    ) from error
  finally:
    configs.setLevel(level)


def token_ids(tokenizer: Any) -> np.ndarray:
  """The ids of all tokens, ascending, those that were added included."""
  return np.unique(np.array([*tokenizer.get_vocab().values()], np.int64))


def check_token_ids(ids: np.ndarray, rows: int, folder: pathlib.Path) -> None:
  """Checks that a model has a row for every token, whatever their number.

  Args:
    ids: of the tokens.
    rows: of the model's embedding, its vocab_size.
    folder: of the tokenizer, for messages.

  Raises:
    InputError: an id is outside.
  """
  outside = [int(i) for i in np.unique(ids) if not 0 <= i < rows]
  if outside:
    raise InputError(
      f'Expected tokens with ids below {rows}, the rows of the embedding of '
      f'the model, in {folder}, got {max(outside)} ({len(outside)} such ids). '
      'Tokenizer and model are of different releases, or tokens were added to '
      'one of them only.'
    )


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
