"""The chat template of a tokenizer: a program that writes messages as a text.

It comes with the folder of the model, so that it may be missing, refuse a
message, leave one out, or raise anything. All of it is tried when the tokenizer
is loaded.
"""

from collections.abc import Callable, Mapping, Sequence
import copy
import pathlib
import re
from typing import Any

from adrpo_jax.errors import InputError, did_you_mean
from adrpo_jax.models.files.config_files import read_config, shown

Turn = Mapping[str, Any]
Messages = Sequence[Turn]
# (messages, whether the turn of the assistant begins behind them) -> text
Write = Callable[[Messages, bool], str]

PROBE = 'question'
# What a template is always called with, and so cannot be set.
OURS = ('messages', 'conversation', 'tokenize', 'add_generation_prompt')


def message(role: str, content: str) -> dict[str, str]:
  """One turn of a conversation."""
  return {'role': role, 'content': content}


def asked(text: str) -> Turn:
  """The turn of a user who writes."""
  return message('user', text)


def asked_of_sound(text: str) -> Turn:
  """The turn of a user who plays a sound and writes."""
  sound = {'type': 'audio', 'audio': 'sound'}
  return {'role': 'user', 'content': [sound, {'type': 'text', 'text': text}]}


def make_writer(
  tokenizer: Any,
  folder: pathlib.Path,
  system: str,
  arguments: Mapping[str, Any],
  question: Callable[[str], Turn] = asked,
) -> Write:
  """Makes the function that writes messages behind a system message.

  Args:
    tokenizer: of transformers.
    folder: of the tokenizer, for messages.
    system: the system message, '' for none.
    arguments: variables of the template, {'enable_thinking': False}.
    question: (text) -> a turn of the user, which the template has to take.

  Raises:
    InputError: there is no template, it has no such variable, it raises, or
      it leaves out the prompt or the system message.
  """
  file = template_file(folder)
  _check_arguments(tokenizer, file, arguments)
  first = [message('system', system)] if system else []

  def write(messages: Messages, begins: bool) -> str:
    try:
      return tokenizer.apply_chat_template(
        [*first, *messages],
        tokenize=False,
        add_generation_prompt=begins,
        **arguments,
      )
    except Exception as error:  # A template is a program, and may raise any.
      raise InputError(
        f'Expected a chat template in {file} that takes the turns '
        f'{[turn["role"] for turn in (*first, *messages)]}. It raised '
        f'{type(error).__name__}: {str(error)[:200]}. {_way_out(system)}'
      ) from error

  text = write([question(PROBE)], True)
  for content in (PROBE, system.strip()):
    if content not in text:
      raise InputError(
        f'Expected a chat template in {file} that writes all messages, but it '
        f'leaves out {content[:60]!r}. {_way_out(system)}'
      )
  return write


def end_of_turn(tokenizer: Any, write: Write) -> tuple[int, ...]:
  """The special token behind a turn of the assistant, if there is one.

  A template that takes no such turn has none.
  """
  turns = [message('user', 'a'), message('assistant', PROBE)]
  try:
    _, found, behind = write(turns, False).rpartition(PROBE)
  except InputError:
    return ()
  ids = tokenizer(behind if found else '', add_special_tokens=False)
  special = {
    *tokenizer.all_special_ids,
    *(i for i, t in tokenizer.added_tokens_decoder.items() if t.special),
  }
  return tuple(i for i in ids['input_ids'] if i in special)[:1]


def with_processor_template(tokenizer: Any, folder: pathlib.Path) -> Any:
  """Returns a tokenizer with the template of the folder's processor.

  Older folders have it in a chat_template.json; that of their tokenizer may
  know texts alone.

  Raises:
    InputError: there is such a file without a template.
  """
  file = folder / 'chat_template.json'
  if (folder / 'chat_template.jinja').is_file() or not file.is_file():
    return tokenizer
  template = read_config(file).get('chat_template')
  if not isinstance(template, str):
    raise InputError(
      f'Expected a text as chat_template in {file}, got {shown(template)}.'
    )
  changed = copy.copy(tokenizer)
  changed.chat_template = template
  return changed


def template_file(folder: pathlib.Path) -> pathlib.Path:
  """The file that a chat template stands in."""
  file = folder / 'chat_template.jinja'
  return file if file.is_file() else folder / 'tokenizer_config.json'


def _check_arguments(
  tokenizer: Any, file: pathlib.Path, arguments: Mapping[str, Any]
) -> None:
  try:
    template = tokenizer.get_chat_template() if tokenizer.chat_template else ''
  except Exception as error:  # Several templates, of which none is the default.
    raise InputError(
      f'Expected one chat template in {file}: {str(error)[:200]}'
    ) from error
  if not template:
    raise InputError(
      f'Expected a chat template with the tokenizer in {file.parent}, found '
      'none. Use the folder of a model that was trained to chat (-Instruct), '
      'or set --config.model.template=none to let the model continue plain '
      'prompts.'
    )
  words = set(re.findall(r'[A-Za-z_]\w*', template)) - set(OURS)
  for name in arguments:
    if name not in words:
      raise InputError(
        f'Expected in --config.model.template_arguments variables of the '
        f'template in {file}, got {name!r}, which it does not read.'
        f'{did_you_mean(name, words)}'
      )


def _way_out(system: str) -> str:
  if system:
    return (
      'If the template takes no system message, set --config.model.system= to '
      'none and write it into the prompts.'
    )
  return (
    'Give the folder of a model with another template, or set '
    '--config.model.template=none to let the model continue plain prompts.'
  )
