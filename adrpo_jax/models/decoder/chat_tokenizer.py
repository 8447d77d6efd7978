"""The tokenizer of a language model, with its chat template."""

from collections.abc import Callable, Sequence
import json
import math
import pathlib
from typing import Any, NamedTuple

import numpy as np

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.models.files.tokenizers import load_tokenizer, text_decoder


class ChatTokenizer(NamedTuple):
  """A tokenizer as the functions and numbers that a run needs.

  encode:     (prompt) -> token ids, in the template of the model
  decode:     (token ids) -> text without special tokens
  decode_raw: (token ids) -> text with special tokens, for reports
  stop_ids:   the tokens that end a completion
  pad_id:     the token that fills padding
  vocab_size: the number of tokens of the tokenizer
  """

  encode: Callable[[str], list[int]]
  decode: Callable[[Sequence[int]], str]
  decode_raw: Callable[[Sequence[int]], str]
  stop_ids: tuple[int, ...]
  pad_id: int
  vocab_size: int


def load_chat_tokenizer(
  folder: pathlib.Path, template: str = 'chat', system: str = ''
) -> ChatTokenizer:
  """Loads the tokenizer of a Hugging Face folder.

  Args:
    folder: has a tokenizer. If it has a generation_config.json as well, this
      file says which tokens end a completion.
    template: 'chat' makes the prompt a message of the user in the tokenizer's
      chat template; 'none' lets the model continue the plain prompt.
    system: the system message before the prompt, or ''; only for 'chat'.

  Raises:
    InputError: there is no tokenizer, no chat template, or no token that ends a
      completion.
  """
  tokenizer = load_tokenizer(folder)
  if template not in TEMPLATES:
    raise unknown_name(template, TEMPLATES, 'template')
  stop_ids = _stop_ids(folder, tokenizer)
  pad_id = tokenizer.pad_token_id
  return ChatTokenizer(
    encode=TEMPLATES[template](tokenizer, folder, system),
    decode=text_decoder(folder),
    decode_raw=lambda ids: tokenizer.decode(
      list(ids), clean_up_tokenization_spaces=False
    ),
    stop_ids=stop_ids,
    pad_id=stop_ids[0] if pad_id is None else pad_id,
    vocab_size=len(tokenizer),
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
  tokenizer: Any, folder: pathlib.Path, system: str
) -> Callable[[str], list[int]]:
  if tokenizer.chat_template is None:
    raise InputError(
      f'Expected a chat template with the tokenizer in {folder}, found none. '
      'Use the folder of a model that was trained to chat (-Instruct), or set '
      '--config.model.template=none to let the model continue plain prompts.'
    )
  first = [{'role': 'system', 'content': system}] if system else []

  def encode(prompt: str) -> list[int]:
    messages = [*first, {'role': 'user', 'content': prompt}]
    text = tokenizer.apply_chat_template(
      messages, tokenize=False, add_generation_prompt=True
    )
    return tokenizer(text, add_special_tokens=False)['input_ids']

  return encode


def _plain(
  tokenizer: Any, folder: pathlib.Path, system: str
) -> Callable[[str], list[int]]:
  if system:
    raise InputError(
      f"Expected template 'chat' beside a system prompt, got 'none' for "
      f'{folder}: without a template there is no place for a system message.'
    )
  return lambda prompt: tokenizer(prompt)['input_ids']


TEMPLATES = {'chat': _chat, 'none': _plain}


def _stop_ids(folder: pathlib.Path, tokenizer: Any) -> tuple[int, ...]:
  path = folder / 'generation_config.json'
  config = json.loads(path.read_text()) if path.is_file() else {}
  value = config.get('eos_token_id', tokenizer.eos_token_id)
  stop_ids = tuple(value) if isinstance(value, list) else (value,)
  if not stop_ids or None in stop_ids:
    raise InputError(
      'Expected a token that ends a completion, as eos_token_id in '
      f'{path} or of the tokenizer, got {value!r}.'
    )
  return stop_ids
