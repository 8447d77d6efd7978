"""The tokenizer of a language model as the functions that a run needs."""

from collections.abc import Callable, Sequence
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.models.files.tokenizers import load_tokenizer, text_decoder


class ChatTokenizer(NamedTuple):
  """What texts are made of.

  ids:    (prompt) -> its tokens, as the model is asked
  answer: (tokens) -> their text, without special tokens
  piece:  (tokens) -> their text with all there is, for reports
  stops:  tokens that end an answer
  pad:    stands where there is nothing
  size:   how many tokens the tokenizer has
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
  """The words of a folder of Hugging Face.

  Args:
    folder: with a tokenizer; its generation_config.json, where it has one,
      says which tokens end an answer.
    template: 'chat', a prompt is what the user says in the tokenizer's own
      template; 'none', the model goes on from the prompt as it stands.
    system: what the system says before, if anything; for 'chat'.

  Raises:
    InputError: no tokenizer, no chat template, no token that ends an answer.
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


def left_padded(
  rows: Sequence[Sequence[int]], length: int, pad: int
) -> dict[str, np.ndarray]:
  """{'tokens' int32, 'mask' bool}, [N, length] each.

  Raises:
    InputError: a row is longer.
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
      'Take the folder of a model that was trained to chat (-Instruct), or set '
      '--config.model.template=none to have prompts continued as they stand.'
    )
  before = [{'role': 'system', 'content': system}] if system else []

  def ids(prompt: str) -> list[int]:
    messages = [*before, {'role': 'user', 'content': prompt}]
    text = tokenizer.apply_chat_template(
      messages, tokenize=False, add_generation_prompt=True
    )
    return tokenizer(text, add_special_tokens=False)['input_ids']

  return ids


def _plain(
  tokenizer: Any, folder: pathlib.Path, system: str
) -> Callable[[str], list[int]]:
  if system:
    raise InputError(
      f"Expected template 'chat' beside a system prompt, got 'none' for "
      f'{folder}: without a template there is nobody else to speak.'
    )
  return lambda prompt: tokenizer(prompt)['input_ids']


TEMPLATES = {'chat': _chat, 'none': _plain}


def _stop_ids(folder: pathlib.Path, tokenizer: Any) -> tuple[int, ...]:
  path = folder / 'generation_config.json'
  told = json.loads(path.read_text()) if path.is_file() else {}
  listed = told.get('eos_token_id', tokenizer.eos_token_id)
  stops = tuple(listed) if isinstance(listed, list) else (listed,)
  if not stops or None in stops:
    raise InputError(
      'Expected a token that ends an answer, eos_token_id in '
      f'{path} or of the tokenizer, got {listed!r}.'
    )
  return stops
