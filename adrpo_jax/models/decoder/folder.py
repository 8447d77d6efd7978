"""Reads and writes folders of Llama, Qwen2, Qwen2.5 and dense Qwen3 models.

config.json                    {"model_type": "llama", ...}
model.safetensors              or a sharded set with its index

The layout is that of transformers. Configs may have either spelling:
`rope_theta`, `rope_scaling`, `torch_dtype` of the files on the Hub, or
`rope_parameters`, `dtype` of transformers 5.
"""

from collections.abc import Callable, Mapping
import contextlib
import dataclasses
import pathlib
from typing import Any, NamedTuple

from absl import logging
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.config_types import Size
from adrpo_jax.models.decoder import weight_table as decoder_table
from adrpo_jax.models.decoder.decoder import Decoder, DecoderConfig, Scorer
from adrpo_jax.models.decoder.rope_fields import read_rope, rope_fields
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.config_files import (
  check_fields,
  config_from_fields,
  read_config,
  read_field,
  shown,
  write_json,
)
from adrpo_jax.models.files.safetensors_trees import save_tree, with_dtype
from adrpo_jax.models.files.tensor_files import TensorFiles, tensor_files
from adrpo_jax.types import Array, PyTree

LONGEST = 'max_position_embeddings'
HEAD, EMBEDDING = 'lm_head.weight', 'model.embed_tokens.weight'
ROWS = 4096  # of a table that are compared at a time


class Kind(NamedTuple):
  """What the layers of a model_type have, and what its config leaves out.

  attention_bias, qk_norm: see `DecoderConfig`.
  longest: the tokens of a text where a config says nothing, in transformers.
  fixed: fields for which one value is implemented.
  """

  attention_bias: bool
  qk_norm: bool
  longest: int
  fixed: Mapping[str, Any]


# Biases of Llama and Qwen3 would be on o too. Qwen2 always has its own.
KINDS = {
  'llama': Kind(
    False, False, 2048, {'attention_bias': False, 'mlp_bias': False}
  ),
  'qwen2': Kind(True, False, 32768, {}),
  'qwen3': Kind(False, True, 32768, {'attention_bias': False}),
}


class DecoderFolder(NamedTuple):
  """The folder of a decoder and its config.

  fields: all fields of config.json, which a model saved from it keeps.
  longest: the tokens of a text, at most, that the model was made for.
  """

  path: pathlib.Path
  config: DecoderConfig
  fields: Mapping[str, Any]
  longest: int


def read(folder: pathlib.Path) -> DecoderFolder:
  """Reads the config of a folder.

  Raises:
    InputError: the model is of another type, or the config has values that this
      package does not implement. The message names the file and the field. Or
      the embeddings are tied, and the weights beside the config are damaged.
  """
  path = folder / 'config.json'
  fields = read_config(path)
  model_type = fields.get('model_type')
  if model_type not in tuple(KINDS):  # A list of a damaged file has no hash.
    raise InputError(
      f"Expected model_type 'llama', 'qwen2' or 'qwen3' in {path}, got "
      f'{model_type!r}. Give the folder of a model with the layers of Llama '
      '(Llama 2 and 3, SmolLM2, TinyLlama), Qwen2, Qwen2.5 or dense Qwen3; '
      'others, such as Gemma and Mistral, are not implemented here.'
    )
  config = decoder_config(fields, path, model_type)
  model = DecoderFolder(
    folder, config, fields, longest_text(fields, path, model_type)
  )
  return with_head_of_files(model, _opened)


def with_head_of_files(
  model: DecoderFolder,
  opened: Callable[[pathlib.Path], contextlib.AbstractContextManager],
) -> DecoderFolder:
  """Returns a folder untied if its weights have another output embedding.

  Args:
    model: as its config describes it.
    opened: opens the weights of a folder, see `tensor_files`.

  Raises:
    InputError: the embeddings are tied, and the weights cannot be read.
  """
  if not (model.config.tie_word_embeddings and _has_own_head(model, opened)):
    return model
  logging.warning(
    'The config %s says tie_word_embeddings, but the weights beside it have '
    'an lm_head.weight that is not the embedding. It is used, as '
    'transformers 5 does; set tie_word_embeddings to false there.',
    model.path / 'config.json',
  )
  return model._replace(
    config=dataclasses.replace(model.config, tie_word_embeddings=False),
    fields={**model.fields, 'tie_word_embeddings': False},
  )


def decoder_config(
  fields: Mapping[str, Any], path: pathlib.Path, model_type: str
) -> DecoderConfig:
  """Makes the config of a decoder of the fields of a file.

  Args:
    fields: of the file, or of the part of it that describes the decoder.
    path: of the file, for messages.
    model_type: one of `KINDS`, whose layers the decoder has.

  Raises:
    InputError: values that are not allowed or not implemented.
  """
  kind = KINDS[model_type]
  check_fields(
    path, fields, hidden_act='silu', use_sliding_window=False, **kind.fixed
  )
  _check_layer_types(fields, path)
  theta, scaling = read_rope(fields, path)
  inferred = {
    'rope_theta': theta,
    'rope_scaling': scaling,
    'attention_bias': kind.attention_bias,
    'qk_norm': kind.qk_norm,
  }
  defaults = {'tie_word_embeddings': False}
  if model_type != 'qwen3' and fields.get('head_dim') is None:
    width, heads = (
      read_field(fields, name, Size, path)
      for name in ('hidden_size', 'num_attention_heads')
    )
    defaults['head_dim'] = width // heads
  return config_from_fields(
    DecoderConfig, {**fields, **inferred}, path, defaults
  )


def longest_text(
  fields: Mapping[str, Any], path: pathlib.Path, model_type: str
) -> int:
  """Reads the tokens of a text, at most, that a model was made for."""
  known = {LONGEST: KINDS[model_type].longest, **fields}
  return read_field(known, LONGEST, Size, path)


def param_shapes(module: nn.Module) -> PyTree:
  """The shapes of {'params'} of a `Decoder` or a `Scorer`, float32."""
  return jax.eval_shape(lambda: init_params(module, jax.random.key(0)))


def init_params(module: nn.Module, key: Array) -> PyTree:
  """Random parameters {'params': ...} of a `Decoder` or a `Scorer`."""
  rows = jnp.zeros((1, 2), jnp.int32)
  return module.init(key, rows, rows, jnp.ones((1, 2), bool))


def load(
  model: DecoderFolder, dtype: Any, with_shardings: Callable[[PyTree], PyTree]
) -> PyTree:
  """Loads the parameters of a `Decoder` from a `...ForCausalLM`.

  Args:
    model: see `read`.
    dtype: the dtype of the parameters.
    with_shardings: returns a tree of shapes with their shardings.

  Raises:
    InputError: see `weight_table.load`.
  """
  return _load(model, Decoder(model.config), dtype, with_shardings)


def load_scorer(
  model: DecoderFolder, dtype: Any, with_shardings: Callable[[PyTree], PyTree]
) -> PyTree:
  """Loads the parameters of a `Scorer`: `...ForSequenceClassification`."""
  return _load(model, Scorer(model.config), dtype, with_shardings)


def load_files(
  files: TensorFiles,
  module: nn.Module,
  dtype: Any,
  with_shardings: Callable[[PyTree], PyTree],
  others: str = r'(?!)',
) -> PyTree:
  """Loads a `Decoder` or a `Scorer` from opened files.

  Args:
    files: the tensors, under the names of a `...ForCausalLM`.
    module: the model.
    dtype: the dtype of the parameters.
    with_shardings: returns a tree of shapes with their shardings.
    others: pattern of tensors that belong to other parts of a model.
  """
  shapes = with_dtype(param_shapes(module), dtype)
  untied = 'output_embedding' in shapes['params']
  ignored = decoder_table.BUFFERS if untied else decoder_table.TIED
  return weight_table.load(
    files,
    decoder_table.decoder_rows(),
    with_shardings(shapes),
    f'{ignored}|{others}',
  )


def config_fields(config: DecoderConfig) -> dict[str, Any]:
  """Returns a config.json that all versions of transformers can read."""
  fields = dataclasses.asdict(config)
  layers = fields.pop('attention_bias'), fields.pop('qk_norm')
  types = {(k.attention_bias, k.qk_norm): name for name, k in KINDS.items()}
  if layers not in types:
    raise InputError(
      'Expected attention_bias without qk_norm (Qwen2), qk_norm without '
      f'attention_bias (Qwen3), or none of them (Llama), got {config}.'
    )
  fields.pop('rope_scaling')
  model_type = types[layers]
  return {
    **fields,
    **rope_fields(config.rope_theta, config.rope_scaling),
    **KINDS[model_type].fixed,
    'architectures': [f'{model_type.capitalize()}ForCausalLM'],
    'model_type': model_type,
    'hidden_act': 'silu',
    'use_sliding_window': False,
  }


def save(
  folder: pathlib.Path, fields: Mapping[str, Any], params: PyTree
) -> pathlib.Path:
  """Writes config.json and model.safetensors, for `from_pretrained`.

  Args:
    folder: created if it is missing.
    fields: `DecoderFolder.fields` of the model that the parameters come from,
      or `config_fields`; their dtype becomes that of the parameters.
    params: {'params': ...} in any float dtype, in which they are saved.

  Returns:
    The path of the weights.
  """
  folder.mkdir(parents=True, exist_ok=True)
  tensors = weight_table.to_hf(
    decoder_table.decoder_rows(), {'params': params['params']}
  )
  return write(folder, fields, tensors)


def write(
  folder: pathlib.Path,
  fields: Mapping[str, Any],
  tensors: Mapping[str, np.ndarray],
) -> pathlib.Path:
  """Writes config.json with the dtype of the decoder, and all tensors."""
  path = folder / 'model.safetensors'
  save_tree(path, dict(tensors), {'format': 'pt'})
  spelling = 'dtype' if 'dtype' in fields else 'torch_dtype'
  dtype = str(tensors['model.norm.weight'].dtype)
  write_json(folder / 'config.json', {**fields, spelling: dtype})
  return path


def _check_layer_types(fields: Mapping[str, Any], path: pathlib.Path) -> None:
  types = fields.get('layer_types') or []
  if not isinstance(types, list) or any(t != 'full_attention' for t in types):
    raise InputError(
      f"Expected a list of 'full_attention' as layer_types in {path}, got "
      f'{shown(types)}: other attention is not implemented here.'
    )


def _opened(folder: pathlib.Path):
  return tensor_files(folder, ('model',))


def _has_own_head(model: DecoderFolder, opened) -> bool:
  """Says if the weights have an output embedding of other numbers.

  A folder of a config alone has none.
  """
  if not any(model.path.glob('model*.safetensors*')):
    return False
  with opened(model.path) as files:
    shape = files.shapes.get(HEAD)
    if shape is None or shape != files.shapes.get(EMBEDDING):
      return shape is not None
    starts = range(0, shape[0], ROWS)
    parts = [(slice(i, min(i + ROWS, shape[0])),) for i in starts]
    return not all(
      np.array_equal(files.read(HEAD, part), files.read(EMBEDDING, part))
      for part in parts
    )


def _load(
  model: DecoderFolder, module: nn.Module, dtype: Any, with_shardings
) -> PyTree:
  with _opened(model.path) as files:
    return load_files(files, module, dtype, with_shardings)
