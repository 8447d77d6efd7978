"""Prompts in which the tokens of a sound stand before those of a text.

The template of a model writes one marker, such as <|AUDIO|>, where a sound is;
it is repeated once for each token of the sound. Markers are special tokens,
which a tokenizer never merges with others: to repeat the id gives the tokens of
the text with the marker repeated, and a text is encoded once for any sound.
"""

from collections.abc import Callable, Mapping, Sequence
import pathlib
from types import MappingProxyType
from typing import Any, NamedTuple

from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder.chat_template import PROBE, asked_of_sound
from adrpo_jax.models.decoder.chat_tokenizer import (
  ChatTokenizer,
  load_chat_tokenizer,
)
from adrpo_jax.models.files.tokenizers import load_tokenizer


class SoundText(NamedTuple):
  """The tokens of a prompt, with the marker once, at an index."""

  tokens: tuple[int, ...]
  at: int

  def length(self, count: int) -> int:
    """The tokens of the prompt with a sound of `count` tokens."""
    return len(self.tokens) - 1 + count

  def expanded(self, count: int) -> list[int]:
    """Returns the tokens of the prompt with a sound of `count` tokens."""
    marker, at = self.tokens[self.at], self.at
    return [*self.tokens[:at], *[marker] * count, *self.tokens[at + 1 :]]


class SoundTokenizer(NamedTuple):
  """A tokenizer of prompts with a sound.

  chat:     the same for all else: it decodes, and says what ends a completion
  encode:   (text) -> its tokens; raises ValueError where it has a reserved word
  reserved: the words that stand for sounds and images, the marker first
  """

  chat: ChatTokenizer
  encode: Callable[[str], SoundText]
  reserved: tuple[str, ...]


def load_sound_tokenizer(
  folder: pathlib.Path,
  marker: int,
  others: Sequence[int] = (),
  *,
  system: str = '',
  arguments: Mapping[str, Any] = MappingProxyType({}),
) -> SoundTokenizer:
  """Loads the tokenizer of a folder whose chat template takes sounds.

  Args:
    folder: see `load_chat_tokenizer`.
    marker: the id of the token that stands for a sound.
    others: ids of tokens that stand for images and the like.
    system: the system message before the prompt, or ''.
    arguments: variables of the template.

  Raises:
    InputError: see `load_chat_tokenizer`; or the template does not write the
      marker once.
  """
  chat = load_chat_tokenizer(
    folder, 'chat', system, arguments, question=asked_of_sound
  )
  words = load_tokenizer(folder).convert_ids_to_tokens([marker, *others])
  reserved = tuple(word for word in words if word)
  count = chat.encode(PROBE).count(marker)
  if count != 1 or not words[0]:
    raise InputError(
      f'Expected a chat template in {folder} that writes the token {marker} '
      f'({words[0]}) once for a sound, got {count} of it. Give the folder of a '
      'model that hears, with its chat_template.json or .jinja.'
    )

  def encode(text: str) -> SoundText:
    check_reserved(text, reserved)
    tokens = tuple(chat.encode(text))
    return SoundText(tokens, tokens.index(marker))

  return SoundTokenizer(chat, encode, reserved)


def check_reserved(text: str, reserved: Sequence[str]) -> None:
  """Checks that a text has no word that stands for a sound or an image.

  Raises:
    ValueError: it has one.
  """
  for word in reserved:
    if word in text:
      raise ValueError(
        f'expected a text without {word}, which stands for the sound of a '
        f'prompt, got {text[:60]!r}. Write it in another way.'
      )
