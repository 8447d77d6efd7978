"""Prompt and answer as the tokens that a reward model scores."""

from collections.abc import Callable
import pathlib
from typing import Any

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.models.files.tokenizers import load_tokenizer

Encode = Callable[[str, str], list[int]]


def chat_tokens(folder: pathlib.Path, template: str = 'chat') -> Encode:
  """Makes (prompt, answer) -> token ids, by the folder's own tokenizer.

  The result may be called from several threads.

  Args:
    folder: of the reward model.
    template: a name in TEMPLATES.

  Raises:
    InputError: no tokenizer, an unknown template, or no chat template that
      takes a turn of a user and one of an assistant.
  """
  if template not in TEMPLATES:
    raise unknown_name(template, TEMPLATES, 'template of a reward model')
  tokenizer = load_tokenizer(folder)
  write = TEMPLATES[template](tokenizer, folder)

  def encode(prompt: str, answer: str) -> list[int]:
    return list(tokenizer(write(prompt, answer))['input_ids'])

  return encode


def chat(tokenizer: Any, folder: pathlib.Path) -> Callable[[str, str], str]:
  """A conversation of two turns, by the tokenizer's chat template.

  The begin-of-sequence token of the template is removed, since the tokenizer
  adds it again. `Skywork-Reward-V2
  <https://huggingface.co/Skywork/Skywork-Reward-V2-Qwen3-0.6B>`_ does so.
  """
  way_out = (
    "Add the model's chat template to the folder, or set template = 'none' of "
    'the reward, which joins prompt and answer as they are.'
  )
  if not tokenizer.chat_template:
    raise InputError(
      f'Expected a chat template with the tokenizer in {folder} '
      '(chat_template.jinja, or in tokenizer_config.json), found none. '
      f'{way_out}'
    )

  def write(prompt: str, answer: str) -> str:
    turns = [
      {'role': 'user', 'content': prompt},
      {'role': 'assistant', 'content': answer},
    ]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    return text.removeprefix(tokenizer.bos_token or '')

  try:
    write('a', 'b')
  except Exception as error:  # A template is a program, and may raise any.
    raise InputError(
      f'Expected a chat template in {folder} that takes a turn of a user and '
      f'one of an assistant. It raised {type(error).__name__}: {error}. '
      f'{way_out}'
    ) from error
  return write


def concatenated(
  tokenizer: Any, folder: pathlib.Path
) -> Callable[[str, str], str]:
  """The prompt with the answer appended."""
  del tokenizer, folder
  return lambda prompt, answer: prompt + answer


TEMPLATES = {'chat': chat, 'none': concatenated}
