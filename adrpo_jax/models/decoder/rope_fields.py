"""The rotary embeddings that a config.json describes, in either spelling.

`rope_theta` and `rope_scaling` of the files on the Hub, or `rope_parameters` of
transformers 5, which holds both.
"""

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any

from adrpo_jax.errors import InputError
from adrpo_jax.models.config_types import Theta
from adrpo_jax.models.decoder.rope import PLAIN, Llama3Scaling
from adrpo_jax.models.files.config_files import (
  config_from_fields,
  read_field,
  shown,
)

SPELLINGS = ('rope_parameters', 'rope_scaling')


def read_rope(
  fields: Mapping[str, Any], path: pathlib.Path
) -> tuple[float, Llama3Scaling]:
  """Reads θ and the scaling of rates.

  Raises:
    InputError: values that are not allowed, or a scaling that is not
      implemented.
  """
  theta, scaling = fields.get('rope_theta'), PLAIN
  for name in SPELLINGS:
    rope = fields.get(name) or {}
    if not isinstance(rope, dict):
      raise InputError(
        f'Expected an object as {name} in {path}, got {shown(rope)}.'
      )
    rope_type = rope.get('rope_type', rope.get('type', 'default'))
    partial = rope.get('partial_rotary_factor', 1.0) != 1.0
    if rope_type not in ('default', 'llama3') or partial:
      raise InputError(
        f"Expected {name} of the type 'default' or 'llama3' in {path}, got "
        f'{shown(rope)}: other scaled and partial rotations (for longer '
        'contexts) are not implemented here. Remove the field if your texts '
        'are within the original length.'
      )
    if rope_type == 'llama3':
      scaling = config_from_fields(Llama3Scaling, rope, path)
    theta = rope.get('rope_theta', theta)
  return read_field({'rope_theta': theta}, 'rope_theta', Theta, path), scaling


def rope_fields(theta: float, scaling: Llama3Scaling) -> dict[str, Any]:
  """Returns fields that all versions of transformers can read."""
  fields: dict[str, Any] = {'rope_theta': theta}
  if scaling != PLAIN:
    fields['rope_scaling'] = {
      'rope_type': 'llama3',
      **dataclasses.asdict(scaling),
    }
  return fields
