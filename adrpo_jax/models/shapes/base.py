"""Reads and writes a base checkpoint, which consists of three models.

config.json                 sizes of the three models, and the origin
transformer.safetensors     the flow model (MMDiT)
text_encoder.safetensors
autoencoder.safetensors
"""

from collections.abc import Mapping
import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adrpo_jax.errors import InputError
from adrpo_jax.models.files import safetensors_trees
from adrpo_jax.models.files.config_files import (
  config_from_fields,
  read_config,
  shown,
  write_json,
)
from adrpo_jax.models.sd3.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.sd3.mmdit import MMDiT, MMDiTConfig
from adrpo_jax.models.shapes.text_encoder import TextEncoder, TextEncoderConfig
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import PyTree

CONFIGS: dict[str, Any] = {
  'transformer': MMDiTConfig,
  'text_encoder': TextEncoderConfig,
  'autoencoder': AutoencoderConfig,
}


class Base(NamedTuple):
  """The configs of the three models, and their parameters by name."""

  mmdit: MMDiTConfig
  text_encoder: TextEncoderConfig
  autoencoder: AutoencoderConfig
  params: dict[str, PyTree]


def save(folder: pathlib.Path, base: Base, origin: Mapping[str, Any]) -> None:
  """Writes a base checkpoint; `origin` describes how it was made."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, tree in base.params.items():
    safetensors_trees.save_tree(folder / f'{name}.safetensors', tree)
  configs = {
    'transformer': dataclasses.asdict(base.mmdit),
    'text_encoder': dataclasses.asdict(base.text_encoder),
    'autoencoder': dataclasses.asdict(base.autoencoder),
    'origin': dict(origin),
  }
  write_json(folder / 'config.json', configs)


def load(folder: pathlib.Path) -> Base:
  """Reads a base checkpoint.

  Raises:
    InputError: the folder or a file is missing, the config has other fields, or
      weights are missing, unexpected, of another shape, cut short or pickled.
  """
  path = folder / 'config.json'
  if not path.is_file():
    raise InputError(
      f'Expected a base checkpoint in {folder}, with config.json and three '
      '.safetensors files; found no config.json. Make one with '
      '--mode=pretrain, or set --config.model.path.'
    )
  fields = read_config(path)
  configs = [_config(fields, name, path) for name in CONFIGS]
  base = Base._make([*configs, {}])
  shapes = jax.eval_shape(lambda: initialize(base, jax.random.key(0)))
  return base._replace(
    params={
      name: _weights(folder / f'{name}.safetensors', tree)
      for name, tree in shapes.items()
    }
  )


def read_origin(folder: pathlib.Path) -> dict[str, Any]:
  """Reads how a base checkpoint was made, the `origin` of `save`.

  Call it after `load`, which checks the file. It is {} where it is not told.
  """
  return json.loads((folder / 'config.json').read_text()).get('origin', {})


def initialize(base: Base, key: jax.Array) -> dict[str, PyTree]:
  """Initializes random parameters of the three models."""
  size = base.mmdit.sample_size
  latents = jnp.zeros((1, size, size, base.mmdit.in_channels))
  pixels = size * base.autoencoder.downsampling
  images = jnp.zeros((1, pixels, pixels, base.autoencoder.in_channels))
  tokens = jnp.zeros((1, base.text_encoder.length), jnp.int32)
  keys = jax.random.split(key, 3)
  text = TextEncoder(base.text_encoder)
  text_params = text.init(keys[0], tokens)
  condition = text.apply(text_params, tokens)
  flow = MMDiT(base.mmdit)
  return {
    'transformer': flow.init(keys[1], latents, jnp.zeros(1), condition),
    'text_encoder': text_params,
    'autoencoder': Autoencoder(base.autoencoder).init(keys[2], images, key),
  }


def _weights(path: pathlib.Path, shapes: PyTree) -> PyTree:
  tree = safetensors_trees.load_tree(path, shapes)
  for name, array in leaf_names(tree).items():
    safetensors_trees.check_finite(array, name, path)
  return tree


def _config(fields: Mapping[str, Any], name: str, path: pathlib.Path) -> Any:
  own, config_type = fields.get(name), CONFIGS[name]
  known = {f.name: f.default for f in dataclasses.fields(config_type)}
  if not isinstance(own, dict) or set(own) - set(known):
    raise InputError(
      f'Expected the config of a base checkpoint in {path}, with fields of '
      f'{name} among {sorted(known)}, got {shown(own)}. Make a new base with '
      '--mode=pretrain.'
    )
  defaults = {n: v for n, v in known.items() if v is not dataclasses.MISSING}
  return config_from_fields(config_type, own, path, defaults)
