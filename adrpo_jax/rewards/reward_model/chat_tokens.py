"""Prompt and answer as the tokens that a reward model reads."""

from collections.abc import Callable
import pathlib
from typing import Any

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.models.files.tokenizers import tokeniser_of

Encode = Callable[[str, str], list[int]]


def chat_tokens(folder: pathlib.Path, template: str = 'chat') -> Encode:
  """(prompt, answer) -> token ids, by the folder's own tokeniser.

  May be called from several threads.

  Args:
    folder: of the reward model.
    template: a name in TEMPLATES.

  Raises:
    InputError: no tokeniser, another name, no chat template that takes a turn
      of a user and one of an assistant.
  """
  if template not in TEMPLATES:
    raise unknown_name(template, TEMPLATES, 'template of a reward model')
  tokeniser = tokeniser_of(folder)
  written = TEMPLATES[template](tokeniser, folder)

  def encode(prompt: str, answer: str) -> list[int]:
    return list(tokeniser(written(prompt, answer))['input_ids'])

  return encode


def chat(tokeniser: Any, folder: pathlib.Path) -> Callable[[str, str], str]:
  """As a conversation of two turns, by the tokeniser's chat template.

  A token of beginning that the template writes is taken off again: the
  tokeniser puts it there itself. So it is done for `Skywork-Reward-V2
  <https://huggingface.co/Skywork/Skywork-Reward-V2-Qwen3-0.6B>`_.
  """
  way_out = (
    "Add the model's chat template to the folder, or set template = 'none' of "
    'the reward, which joins prompt and answer as they are.'
  )
  if not tokeniser.chat_template:
    raise InputError(
      f'Expected a chat template with the tokeniser in {folder} '
      '(chat_template.jinja, or in tokenizer_config.json), found none. '
      f'{way_out}'
    )

  def written(prompt: str, answer: str) -> str:
    turns = [
      {'role': 'user', 'content': prompt},
      {'role': 'assistant', 'content': answer},
    ]
    text = tokeniser.apply_chat_template(turns, tokenize=False)
    return text.removeprefix(tokeniser.bos_token or '')

  try:
    written('a', 'b')
  except Exception as error:  # Any: a template is a program.
    raise InputError(
      f'Expected a chat template in {folder} that takes a turn of a user and '
      f'one of an assistant. It says: {type(error).__name__}: {error}. '
      f'{way_out}'
    ) from error
  return written


def joined(tokeniser: Any, folder: pathlib.Path) -> Callable[[str, str], str]:
  """The answer right behind the prompt."""
  del tokeniser, folder
  return lambda prompt, answer: prompt + answer


TEMPLATES = {'chat': chat, 'none': joined}
