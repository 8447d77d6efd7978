"""Decoders of language models: from a folder, or as shapes alone."""

from functools import partial
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.generators.base import (
  Encode,
  Generator,
  Rows,
  refuse_prompts,
  shard,
)
from adrpo_jax.builders.generators.language import make_language_generator
from adrpo_jax.builders.generators.language_folder import (
  check_tokens,
  language_folder,
  make_chat_tokenizer,
)
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder import weight_table as decoder_table
from adrpo_jax.models.decoder.architectures import ARCHITECTURES
from adrpo_jax.models.decoder.chat_tokenizer import (
  ChatTokenizer,
  bucket,
  left_padded,
)
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.models.files import lora_files
from adrpo_jax.models.files.hub import lasting_name
from adrpo_jax.models.files.safetensors_trees import with_dtype
from adrpo_jax.system.files import visible_files
from adrpo_jax.system.fingerprint import fingerprint
from adrpo_jax.types import ALL_ROWS, OwnRows, PyTree

SHORTEST = 16  # tokens; prompts of a step are padded to 16, 32, 64, ...


def make_decoder_generator(
  config: ConfigDict, mesh: jax.sharding.Mesh
) -> Generator:
  """A decoder from a folder in the layout of transformers.

  Raises:
    InputError: a folder that is not of this kind, one whose tokenizer has
      tokens that the model does not know, or texts longer than those that the
      model was made for.
  """
  folder, tokenizer = language_folder(config), make_chat_tokenizer(config)
  model = decoder_folder.read(folder)
  check_tokens(tokenizer, model)
  dtype = jnp.dtype(config.model.param_dtype)
  return make_language_generator(
    config,
    mesh,
    model,
    known=np.isin(np.arange(model.config.vocab_size), tokenizer.token_ids),
    stops=tokenizer.stop_ids,
    pad=tokenizer.pad_id,
    encode=_encoder(tokenizer, config.prompts.max_prompt_length),
    reference=decoder_folder.load(model, dtype, shard(mesh)),
    identity=fingerprint([folder]),
    **_files(config, model),
  )


def make_abstract_decoder(
  config: ConfigDict, mesh: jax.sharding.Mesh
) -> Generator:
  """A decoder of shapes, by the path of a config or by a released model."""
  if config.model.path:
    model = decoder_folder.read(language_folder(config))
  else:
    sizes = lookup(ARCHITECTURES, config.model.architecture, 'model')
    model = decoder_folder.DecoderFolder(
      pathlib.Path(), sizes, {}, decoder_folder.KINDS['qwen3'].longest
    )
  dtype = jnp.dtype(config.model.param_dtype)
  shapes = with_dtype(decoder_folder.param_shapes(Decoder(model.config)), dtype)
  return make_language_generator(
    config,
    mesh,
    model,
    known=np.ones(model.config.vocab_size, bool),
    stops=(0,),
    pad=0,
    encode=refuse_prompts,
    reference=shard(mesh)(shapes),
    identity='',
    **_files(config, model),
  )


def _files(
  config: ConfigDict, model: decoder_folder.DecoderFolder
) -> dict[str, Any]:
  """The functions that write a decoder in the layout of transformers."""
  return {
    'save': partial(_save, model),
    'save_adapters': partial(_save_adapters, model, config.model.path),
  }


def _encoder(tokenizer: ChatTokenizer, longest: int) -> Encode:
  def encode(prompts: PromptSet) -> Rows:
    encoded = [tokenizer.encode(text) for text in prompts.texts]

    def rows(ids: np.ndarray, own: OwnRows = ALL_ROWS) -> PyTree:
      most = max(len(encoded[i]) for i in ids)
      length = bucket(most, longest, SHORTEST)
      return left_padded(
        [encoded[i] for i in ids[own]], length, tokenizer.pad_id
      )

    return rows

  return encode


def _save(
  model: decoder_folder.DecoderFolder, full: PyTree, folder: pathlib.Path
) -> pathlib.Path:
  """A whole folder: its config, weights, and the files of its tokenizer."""
  path = decoder_folder.save(folder, model.fields, full)
  for file in companions(model.path):
    shutil.copyfile(file, folder / file.name)
  return path


def _save_adapters(
  model: decoder_folder.DecoderFolder,
  base: str,
  adapters: PyTree,
  scale: float,
  folder: pathlib.Path,
) -> pathlib.Path:
  rows = decoder_table.decoder_rows()
  source, revision = lasting_name(base, model.path)
  lora_files.save_peft(folder, rows, adapters, scale, source, revision)
  return folder / f'{lora_files.STEMS[1]}.safetensors'


def companions(folder: pathlib.Path) -> list[pathlib.Path]:
  """Files beside the weights: the tokenizer's, and how the model is used."""
  names = (
    'generation_config.json',
    '*processor_config.json',
    'chat_template*',
    'tokenizer*',
    'special_tokens_map.json',
    'added_tokens.json',
    'vocab.json',
    'merges.txt',
  )
  return [f for name in names for f in visible_files(folder.glob(name))]
