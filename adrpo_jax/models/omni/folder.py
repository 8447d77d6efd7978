"""Reads folders of Qwen2.5-Omni: the thinker, its audio tower and decoder.

A folder is whole, with the thinker's fields below `thinker_config` and tensors
`thinker.…` beside those of the talker, or of the thinker alone, with its fields
at the top. Either may hold a vision tower. What speaks and what sees is ignored
by name, and the voices in spk_dict.pt, a pickle, are never opened.
"""

from collections.abc import Callable, Mapping
import dataclasses
import pathlib
import re
from typing import Any, NamedTuple

from adrpo_jax.errors import InputError
from adrpo_jax.models.audio import weight_table as audio_table
from adrpo_jax.models.audio.tower import AudioTowerConfig, param_shapes
from adrpo_jax.models.config_types import TokenId
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.models.decoder.folder import LONGEST, DecoderFolder
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.config_files import (
  check_fields,
  check_plain,
  config_from_fields,
  read_config,
  read_field,
  shown,
)
from adrpo_jax.models.files.safetensors_trees import with_dtype
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.types import PyTree

WHOLE, THINKER = 'qwen2_5_omni', 'qwen2_5_omni_thinker'
PARTS = {
  'audio_config': 'qwen2_5_omni_audio_encoder',
  'text_config': 'qwen2_5_omni_text',
}
# What transformers takes where text_config has no value: the sizes of the 7B.
TEXT = {
  'vocab_size': 152064,
  'hidden_size': 3584,
  'intermediate_size': 18944,
  'num_hidden_layers': 28,
  'num_attention_heads': 28,
  'num_key_value_heads': 4,
  'rms_norm_eps': 1e-6,
  'rope_theta': 1e6,
  LONGEST: 32768,
}
HEARS, READS = r'^audio_tower\.', r'^(model|lm_head)\.'
IGNORED = r'^(talker|token2wav|visual)\.'


class AudioIds(NamedTuple):
  """The ids of what stands for sound in a prompt; the values are the 7B's.

  marker: the token that stands once for each feature of the tower.
  start, end: the tokens before and after them, which are words of their own.
  """

  marker: int = 151646
  start: int = 151647
  end: int = 151648


class OmniFolder(NamedTuple):
  """The folder of a thinker.

  decoder: its path, the config of its decoder, and the thinker's fields.
  tower: the sizes of its audio tower.
  ids: of the tokens that stand for sound.
  """

  decoder: DecoderFolder
  tower: AudioTowerConfig
  ids: AudioIds


def read(folder: pathlib.Path) -> OmniFolder:
  """Reads the config of a folder, whole or of the thinker alone.

  Raises:
    InputError: the model is of another type, or the config has values that this
      package does not implement. The message names the file and the field.
  """
  path = folder / 'config.json'
  fields = _thinker_fields(path)
  audio, text = (_part(fields, name, path) for name in PARTS)
  check_fields(path, audio, activation_function='gelu')
  # The thinker's own field counts, not that of its text_config.
  tied = {'tie_word_embeddings': fields.get('tie_word_embeddings') or False}
  text = TEXT | text | tied
  decoder = decoder_folder.decoder_config(text, path, 'qwen2')
  tower = config_from_fields(
    AudioTowerConfig, audio, path, dataclasses.asdict(AudioTowerConfig())
  )
  if tower.output_dim != decoder.hidden_size:
    raise InputError(
      f'Expected output_dim of audio_config in {path} to be hidden_size of '
      f'text_config, {decoder.hidden_size}, got {tower.output_dim}.'
    )
  ids = _audio_ids(fields, path)
  if max(ids) >= decoder.vocab_size:
    raise InputError(
      f'Expected token ids of sound below vocab_size, {decoder.vocab_size}, in '
      f'{path}, got {ids._asdict()}.'
    )
  longest = decoder_folder.longest_text(text, path, 'qwen2')
  known = DecoderFolder(folder, decoder, fields | tied, longest)
  known = decoder_folder.with_head_of_files(known, opened)
  return OmniFolder(known, tower, ids)


def load_decoder(
  model: OmniFolder, dtype: Any, with_shardings: Callable[[PyTree], PyTree]
) -> PyTree:
  """Loads the parameters of the `Decoder`; see `decoder.folder.load`."""
  with opened(model.decoder.path) as files:
    return decoder_folder.load_files(
      files,
      Decoder(model.decoder.config),
      dtype,
      with_shardings,
      f'{HEARS}|{IGNORED}',
    )


def load_tower(
  model: OmniFolder, dtype: Any, with_shardings: Callable[[PyTree], PyTree]
) -> PyTree:
  """Loads the parameters of the `AudioTower`.

  Args:
    model: see `read`.
    dtype: the dtype of the parameters.
    with_shardings: returns a tree of shapes with their shardings.

  Raises:
    InputError: see `weight_table.load`.
  """
  shapes = with_dtype(param_shapes(model.tower), dtype)
  with opened(model.decoder.path) as files:
    return weight_table.load(
      files,
      audio_table.tower_rows(),
      with_shardings(shapes),
      f'{audio_table.UNUSED}|{READS}|{IGNORED}',
    )


def opened(folder: pathlib.Path) -> Any:
  """Opens the tensors of a folder under the names of a thinker alone."""
  return tensor_files(folder, ('model',), rename=tensor_name)


def tensor_name(stored: str) -> str:
  """Returns the name of a tensor in a folder of the thinker alone.

  >>> tensor_name('thinker.model.norm.weight')
  'model.norm.weight'
  >>> tensor_name('model.language_model.norm.weight')
  'model.norm.weight'
  >>> tensor_name('model.audio_tower.proj.bias')
  'audio_tower.proj.bias'
  """
  name = stored.removeprefix('thinker.')
  name = re.sub(r'^model\.language_model\.', 'model.', name)
  return re.sub(r'^model\.(audio_tower|visual)\.', r'\1.', name)


def _thinker_fields(path: pathlib.Path) -> dict[str, Any]:
  fields = read_config(path)
  model_type = fields.get('model_type')
  if model_type not in (WHOLE, THINKER):
    raise InputError(
      f'Expected model_type {WHOLE!r} or {THINKER!r} in {path}, got '
      f'{model_type!r}. Give the folder of a Qwen2.5-Omni model.'
    )
  if model_type == WHOLE:
    fields = _object(fields, 'thinker_config', path)
    check_fields(path, fields, model_type=THINKER)
    check_plain(fields, path)
  return fields


def _part(
  fields: Mapping[str, Any], name: str, path: pathlib.Path
) -> dict[str, Any]:
  """Returns the values that a part of the thinker's config has."""
  part = _object(fields, name, path)
  check_fields(path, part, model_type=PARTS[name])
  check_plain(part, path)
  return {field: value for field, value in part.items() if value is not None}


def _object(
  fields: Mapping[str, Any], name: str, path: pathlib.Path
) -> dict[str, Any]:
  part = fields.get(name)
  if part is None:
    return {}
  if not isinstance(part, dict):
    raise InputError(
      f'Expected an object as {name} in {path}, got {shown(part)}.'
    )
  return part


def _audio_ids(fields: Mapping[str, Any], path: pathlib.Path) -> AudioIds:
  names = 'audio_token_index', 'audio_start_token_id', 'audio_end_token_id'
  known: dict[str, Any] = {
    **dict(zip(names, AudioIds(), strict=True)),
    **fields,
  }
  return AudioIds(*(read_field(known, name, TokenId, path) for name in names))
