"""The folder of a config's language model, and its tokenizer."""

import pathlib

from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.builders.generators.model_folder import model_folder
from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder.chat_tokenizer import (
  ChatTokenizer,
  load_chat_tokenizer,
)
from adrpo_jax.models.decoder.folder import LONGEST, DecoderFolder
from adrpo_jax.models.files import opened_files
from adrpo_jax.models.files.tokenizers import check_token_ids
from adrpo_jax.models.tiny import qwen as qwen_tiny
from adrpo_jax.system.user_code import read_arguments


def language_folder(config: ConfigDict) -> pathlib.Path:
  """The folder of a decoder; a tiny one is made if needed."""
  return model_folder(
    config,
    opened_files.DECODER,
    world='text_world',
    tiny={'qwen_tiny': qwen_tiny.write},
    models='Llama, Qwen2, Qwen2.5 or Qwen3',
  )


def make_chat_tokenizer(config: ConfigDict) -> ChatTokenizer:
  """The tokenizer of a config's model, with its template."""
  model = config.model
  return load_chat_tokenizer(
    language_folder(config),
    model.template,
    model.system,
    read_arguments(model.template_arguments, 'model.template_arguments'),
  )


def check_tokens(tokenizer: ChatTokenizer, model: DecoderFolder) -> None:
  """Checks that the model has a row for each id of its tokenizer.

  Raises:
    InputError: an id of a token, or of one that ends a completion or pads, is
      outside.
  """
  ids = (*tokenizer.token_ids, *tokenizer.stop_ids, tokenizer.pad_id)
  check_token_ids(np.array(ids), model.config.vocab_size, model.path)


def check_length(config: ConfigDict, model: DecoderFolder) -> None:
  """Checks that prompt and completion are no longer than the model allows.

  Raises:
    InputError: they can be longer.
  """
  prompt = config.prompts.max_prompt_length
  completion = config.sampler.max_completion_length
  if prompt + completion > model.longest:
    raise InputError(
      f'Expected texts of at most {model.longest} tokens, the {LONGEST} of the '
      f'model in {model.path}, got --config.prompts.max_prompt_length={prompt} '
      f'and --config.sampler.max_completion_length={completion}. Lower one of '
      'them.'
    )
