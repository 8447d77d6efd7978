"""A decoder as a generator, with the sampler of a config."""

from collections.abc import Sequence
from functools import partial
import pathlib
import re
import shutil
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax import sharding
from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.generators.base import (
  Encode,
  Generator,
  Materialize,
  Rows,
  make_compute,
  refuse_prompts,
  shard,
  split_by_rows,
)
from adrpo_jax.builders.generators.language_folder import (
  check_length,
  check_tokens,
  language_folder,
  make_chat_tokenizer,
)
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.method.language_methods import LANGUAGE_METHODS
from adrpo_jax.method.record import Method
from adrpo_jax.modalities import language
from adrpo_jax.modalities.decoder_model import language_model
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
from adrpo_jax.sampling.token_distribution import (
  TokenDistribution,
  greedy,
  make_token_distribution,
)
from adrpo_jax.system.files import visible_files
from adrpo_jax.system.fingerprint import fingerprint
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import Modality, PyTree

PRODUCTS = '(kernel|embedding)$'
SHORTEST = 16  # tokens; prompts of a step are padded to 16, 32, 64, ...


def make_qwen_generator(
  config: ConfigDict, mesh: jax.sharding.Mesh
) -> Generator:
  """Qwen2, Qwen2.5 or Qwen3, from a folder in the layout of transformers.

  Raises:
    InputError: a folder that is not of this kind, one whose tokenizer has
      tokens that the model does not know, or texts longer than those that the
      model was made for.
  """
  folder, tokenizer = language_folder(config), make_chat_tokenizer(config)
  model = decoder_folder.read(folder)
  check_tokens(tokenizer, model)
  dtype = jnp.dtype(config.model.param_dtype)
  return _generator(
    config,
    mesh,
    model,
    known=np.isin(np.arange(model.config.vocab_size), tokenizer.token_ids),
    stops=tokenizer.stop_ids,
    pad=tokenizer.pad_id,
    encode=_encoder(tokenizer, config.prompts.max_prompt_length),
    reference=decoder_folder.load(model, dtype, shard(mesh)),
    identity=fingerprint([folder]),
  )


def make_abstract_qwen(
  config: ConfigDict, mesh: jax.sharding.Mesh
) -> Generator:
  """Qwen with shapes for weights, of the config's path or a released model."""
  if config.model.path:
    model = decoder_folder.read(language_folder(config))
  else:
    sizes = lookup(ARCHITECTURES, config.model.architecture, 'model')
    model = decoder_folder.DecoderFolder(
      pathlib.Path(), sizes, {}, decoder_folder.TRANSFORMERS_LONGEST
    )
  dtype = jnp.dtype(config.model.param_dtype)
  shapes = with_dtype(decoder_folder.param_shapes(Decoder(model.config)), dtype)
  return _generator(
    config,
    mesh,
    model,
    known=np.ones(model.config.vocab_size, bool),
    stops=(0,),
    pad=0,
    encode=refuse_prompts,
    reference=shard(mesh)(shapes),
    identity='',
  )


def _generator(
  config: ConfigDict,
  mesh: jax.sharding.Mesh,
  model: decoder_folder.DecoderFolder,
  *,
  known: np.ndarray,
  stops: Sequence[int],
  pad: int,
  encode: Encode,
  reference: PyTree,
  identity: str,
) -> Generator:
  check_length(config, model)
  functions = language_model(
    Decoder(model.config, make_compute(config, mesh)), known
  )
  settings = partial(
    language.LanguageSettings,
    model=functions,
    max_completion_length=config.sampler.max_completion_length,
    stops=stops,
    pad=pad,
    logits_chunk=config.compute.logits_chunk,
    gather=partial(_for_a_loop, mesh, jnp.dtype(config.model.dtype)),
    constrain=partial(split_by_rows, mesh),
  )
  sampled = _distribution(
    config, config.sampler.temperature, config.prompts.group_size
  )

  def modality(method: Method, materialize: Materialize) -> Modality:
    return language.make_modality(
      method,
      settings(
        distribution=sampled,
        samples_per_prompt=config.prompts.group_size,
        materialize=materialize,
      ),
    )

  def evaluated(materialize: Materialize, samples: int) -> Modality:
    return language.make_modality(
      LANGUAGE_METHODS.make_method('grpo'),
      settings(
        distribution=_distribution(config, config.eval.temperature, samples),
        samples_per_prompt=samples,
        materialize=materialize,
      ),
    )

  length = config.prompts.max_prompt_length
  return Generator(
    modality=modality,
    evaluated=evaluated,
    encode=encode,
    condition={
      'tokens': jax.ShapeDtypeStruct((length,), jnp.int32),
      'mask': jax.ShapeDtypeStruct((length,), jnp.bool_),
    },
    frozen={'reference': reference},
    save=partial(_save, model),
    check_adapters=partial(
      lora_files.check_exportable, decoder_table.decoder_rows()
    ),
    save_adapters=partial(_save_adapters, model, config.model.path),
    identity=identity,
  )


def _for_a_loop(mesh: jax.sharding.Mesh, dtype: Any, full: PyTree) -> PyTree:
  """Casts the weights of products and gathers them once for all tokens."""

  def cast(name: str, leaf: Any) -> Any:
    return leaf.astype(dtype) if re.search(PRODUCTS, name) else leaf

  named = leaf_names(full)
  leaves = [cast(name, leaf) for name, leaf in named.items()]
  whole = jax.tree.unflatten(jax.tree.structure(full), leaves)
  return sharding.gathered(whole, mesh)


def _distribution(
  config: ConfigDict, temperature: float, samples: int
) -> TokenDistribution:
  """Makes the choice of tokens: sampling, or greedy at a temperature of 0."""
  if temperature == 0:
    if samples > 1:
      raise InputError(
        'Expected a temperature above 0 for several samples of a prompt, which '
        f'would all be the same, got 0 and {samples} samples. Set one sample, '
        'or a temperature.'
      )
    return greedy()
  sampler = config.sampler
  try:
    return make_token_distribution(temperature, sampler.top_k, sampler.top_p)
  except ValueError as error:
    raise InputError(str(error)) from error


def _encoder(tokenizer: ChatTokenizer, longest: int) -> Encode:
  def encode(prompts: PromptSet) -> Rows:
    encoded = [tokenizer.encode(text) for text in prompts.texts]

    def rows(ids: np.ndarray) -> PyTree:
      chosen = [encoded[i] for i in ids]
      length = bucket(max(map(len, chosen)), longest, SHORTEST)
      return left_padded(chosen, length, tokenizer.pad_id)

    return rows

  return encode


def _save(
  model: decoder_folder.DecoderFolder, full: PyTree, folder: pathlib.Path
) -> pathlib.Path:
  """A whole folder: its config, weights, and the files of its tokenizer."""
  path = decoder_folder.save(folder, model.fields, full)
  for file in _tokenizer_files(model.path):
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


def _tokenizer_files(folder: pathlib.Path) -> list[pathlib.Path]:
  """Files beside the weights: the tokenizer's, and how it generates."""
  names = (
    'generation_config.json',
    'chat_template*',
    'tokenizer*',
    'special_tokens_map.json',
    'added_tokens.json',
    'vocab.json',
    'merges.txt',
  )
  return [f for name in names for f in visible_files(folder.glob(name))]
