"""The tokenizer of a language model, with its chat template."""

from collections.abc import Callable, Mapping, Sequence
import math
import pathlib
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.models.config_types import TokenId
from adrpo_jax.models.decoder.chat_template import (
  Turn,
  asked,
  end_of_turn,
  make_writer,
  with_processor_template,
)
from adrpo_jax.models.files.config_files import (
  matches_type,
  read_config,
  shown,
)
from adrpo_jax.models.files.tokenizers import (
  load_tokenizer,
  text_decoder,
  token_ids,
)

EOS = 'eos_token_id'


class ChatTokenizer(NamedTuple):
  """A tokenizer as the functions and numbers that a run needs.

  encode:     (prompt) -> token ids, in the template of the model
  decode:     (token ids) -> text without special tokens
  decode_raw: (token ids) -> text with special tokens, for reports
  stop_ids:   the tokens that end a completion
  pad_id:     the token that fills padding
  token_ids:  the ids of all tokens, ascending
  """

  encode: Callable[[str], list[int]]
  decode: Callable[[Sequence[int]], str]
  decode_raw: Callable[[Sequence[int]], str]
  stop_ids: tuple[int, ...]
  pad_id: int
  token_ids: np.ndarray


def load_chat_tokenizer(
  folder: pathlib.Path,
  template: str = 'chat',
  system: str = '',
  arguments: Mapping[str, Any] = MappingProxyType({}),
  question: Callable[[str], Turn] = asked,
) -> ChatTokenizer:
  """Loads the tokenizer of a Hugging Face folder.

  A completion ends at every token that generation_config.json, the tokenizer
  or the template says ends one.

  Args:
    folder: has a tokenizer, and perhaps a generation_config.json.
    template: 'chat' makes the prompt a message of the user in the tokenizer's
      chat template; 'none' lets the model continue the plain prompt.
    system: the system message before the prompt, or ''; only for 'chat'.
    arguments: variables of the template; only for 'chat'.
    question: (prompt) -> the turn that it is; only for 'chat'.

  Raises:
    InputError: there is no tokenizer, no chat template or one that does not
      take the messages, a damaged generation_config.json, or no token that ends
      a completion.
  """
  tokenizer = load_tokenizer(folder)
  if template not in TEMPLATES:
    raise unknown_name(template, TEMPLATES, 'template')
  encode, ends = TEMPLATES[template](
    tokenizer, folder, system, arguments, question
  )
  own = tokenizer.eos_token_id
  own_stops = () if own is None else (own,)
  stops = tuple(dict.fromkeys((*_generation_stops(folder), *own_stops, *ends)))
  ids = token_ids(tokenizer)
  if not np.isin(stops, ids).any():
    raise InputError(
      f'Expected a token that ends a completion, as {EOS} in '
      f'{folder / "generation_config.json"} or of the tokenizer, got '
      f'{list(stops) or "none"}.'
    )
  pad_id = tokenizer.pad_token_id
  return ChatTokenizer(
    encode=encode,
    decode=text_decoder(folder),
    decode_raw=lambda ids: tokenizer.decode(
      list(ids), clean_up_tokenization_spaces=False
    ),
    stop_ids=stops,
    pad_id=stops[0] if pad_id is None else pad_id,
    token_ids=ids,
  )


def bucket(length: int, longest: int, shortest: int) -> int:
  """Returns the least of shortest·2ᵏ that is ≥ length, at most `longest`.

  Rows padded to few lengths need few compiled programs.
  """
  doublings = max(0, math.ceil(math.log2(max(length, 1) / shortest)))
  return min(shortest * 2**doublings, longest)


def left_padded(
  rows: Sequence[Sequence[int]], length: int, pad: int
) -> dict[str, np.ndarray]:
  """Pads rows on the left: {'tokens' int32, 'mask' bool}, [N, length] each.

  Raises:
    InputError: a row is longer than `length`.
  """
  longest = max(map(len, rows))
  if longest > length:
    raise InputError(
      f'Expected prompts of at most {length} tokens, got one of {longest}. '
      'Shorten it, or raise --config.prompts.max_prompt_length.'
    )
  tokens = np.full((len(rows), length), pad, np.int32)
  mask = np.zeros(tokens.shape, bool)
  for i, row in enumerate(rows):
    tokens[i, length - len(row) :] = row
    mask[i, length - len(row) :] = True
  return {'tokens': tokens, 'mask': mask}


def _chat(
  tokenizer: Any,
  folder: pathlib.Path,
  system: str,
  arguments: Mapping[str, Any],
  question: Callable[[str], Turn],
) -> tuple[Callable[[str], list[int]], tuple[int, ...]]:
  if question is not asked:
    tokenizer = with_processor_template(tokenizer, folder)
  write = make_writer(tokenizer, folder, system, arguments, question)

  def encode(prompt: str) -> list[int]:
    text = write([question(prompt)], True)
    return tokenizer(text, add_special_tokens=False)['input_ids']

  return encode, end_of_turn(tokenizer, write)


def _plain(
  tokenizer: Any,
  folder: pathlib.Path,
  system: str,
  arguments: Mapping[str, Any],
  question: Callable[[str], Turn],
) -> tuple[Callable[[str], list[int]], tuple[int, ...]]:
  del question  # A prompt as it is has no turns.
  if system or arguments:
    raise InputError(
      f"Expected template 'chat' beside a system prompt and arguments of the "
      f"template, got 'none' for {folder}: without a template there is no "
      'place for them.'
    )
  return lambda prompt: tokenizer(prompt)['input_ids'], ()


# Name -> (tokenizer, folder, system message, arguments of the template, turn of
# a prompt) -> (prompt) -> token ids, and the tokens that end a turn.
TEMPLATES = {'chat': _chat, 'none': _plain}


def _generation_stops(folder: pathlib.Path) -> tuple[int, ...]:
  """Reads the tokens that end a completion from a generation_config.json."""
  path = folder / 'generation_config.json'
  fields = read_config(path) if path.is_file() else {}
  value = fields.get(EOS, ())
  stops = tuple(value) if isinstance(value, list | tuple) else (value,)
  if not all(matches_type(i, TokenId) for i in stops) or value == []:
    raise InputError(
      f'Expected the id of a token or a list of ids as {EOS} in {path}, got '
      f'{shown(value)}. Correct it, or remove the field: then the tokenizer '
      'says which token ends a completion.'
    )
  return stops
