"""What the bases of the worlds of texts and clips have beside their weights.

tokenizer.json, ...      of the world, for `AutoTokenizer`
generation_config.json   temperature 1, and the length of a completion
pretraining.json         settings, loss, measured ability
"""

from collections.abc import Callable, Mapping
import pathlib
from typing import Any

from adrpo_jax.errors import InputError
from adrpo_jax.models.files.config_files import write_json
from adrpo_jax.models.files.tokenizers import load_tokenizer


def make_tokenizer(
  write: Callable[[pathlib.Path], None],
  folder: pathlib.Path,
  world: str,
  vocab_size: int,
) -> Any:
  """Writes the tokenizer of a world into a folder, and loads it.

  Args:
    write: writes its files.
    folder: made if it is missing.
    world: the name of the world, for the error.
    vocab_size: the vocabulary of the model that will read its tokens.

  Raises:
    InputError: the tokenizer has another number of tokens.
  """
  write(folder)
  tokenizer = load_tokenizer(folder)
  if len(tokenizer) != vocab_size:
    raise InputError(
      f'Expected vocab_size {len(tokenizer)}, as the tokenizer of the world '
      f'{world} has, got {vocab_size}.'
    )
  return tokenizer


def end_fields(tokenizer: Any) -> dict[str, int]:
  """Returns the ids that end and pad a completion, as a config states them."""
  return {
    'eos_token_id': tokenizer.eos_token_id,
    'pad_token_id': tokenizer.pad_token_id,
  }


def write_records(
  folder: pathlib.Path, tokenizer: Any, record: Mapping[str, Any]
) -> None:
  """Writes generation_config.json and pretraining.json.

  Args:
    folder: of the base.
    tokenizer: of the base.
    record: describes the training; `max_completion_length` is one of its items.
  """
  generation = end_fields(tokenizer) | {
    'do_sample': True,
    'temperature': 1.0,
    'max_new_tokens': record['max_completion_length'],
  }
  write_json(folder / 'generation_config.json', generation)
  write_json(folder / 'pretraining.json', record)
