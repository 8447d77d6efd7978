"""The folder of a config's language model, and its tokenizer."""

import pathlib

from ml_collections import ConfigDict

from adrpo_jax.builders.generators.shapes import base_folder
from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder.chat_tokenizer import (
  ChatTokenizer,
  load_chat_tokenizer,
)
from adrpo_jax.models.files import opened_files
from adrpo_jax.models.files.hub import local_folder
from adrpo_jax.models.tiny import qwen as qwen_tiny
from adrpo_jax.system.cache_files import cache_folder, made_folder


def language_folder(config: ConfigDict) -> pathlib.Path:
  """The folder in the layout of transformers; a tiny one is made if needed."""
  if config.model.family == 'text_world':
    return base_folder(config)
  if config.model.family == 'qwen_tiny':
    return made_folder(cache_folder() / 'qwen_tiny', qwen_tiny.write)
  if not config.model.path:
    raise InputError(
      'Expected --config.model.path, a folder of Qwen2, Qwen2.5 or Qwen3 in '
      'the layout of transformers, gs:// or an id on the Hub; got none.'
    )
  return local_folder(config.model.path, opened_files.DECODER)


def make_chat_tokenizer(config: ConfigDict) -> ChatTokenizer:
  """The tokenizer of a config's model, with its template."""
  model = config.model
  return load_chat_tokenizer(
    language_folder(config), model.template, model.system
  )
