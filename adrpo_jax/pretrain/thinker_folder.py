"""Writes a small thinker as a folder of Qwen2.5-Omni."""

from collections.abc import Mapping
import pathlib
from typing import Any

from adrpo_jax.models.audio.tower import AudioTowerConfig
from adrpo_jax.models.audio.weight_table import tower_rows
from adrpo_jax.models.decoder.decoder import DecoderConfig
from adrpo_jax.models.decoder.weight_table import decoder_rows
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.config_files import write_json
from adrpo_jax.models.omni import export
from adrpo_jax.models.omni.config_fields import mel_fields, thinker_fields
from adrpo_jax.pretrain.base_files import end_fields, write_records
from adrpo_jax.pretrain.heard_prompts import MEL
from adrpo_jax.types import PyTree


def write(
  folder: pathlib.Path,
  tower: AudioTowerConfig,
  decoder: DecoderConfig,
  params: Mapping[str, PyTree],
  tokenizer: Any,
  record: Mapping[str, Any],
) -> None:
  """Writes a base beside its tokenizer.

  Args:
    folder: has the tokenizer.
    tower: sizes of what hears.
    decoder: sizes of what reads.
    params: {'tower': ..., 'decoder': ...}.
    tokenizer: of the folder.
    record: describes the training.
  """
  fields = thinker_fields(tower, decoder, tokenizer.convert_tokens_to_ids)
  tensors = weight_table.to_hf(decoder_rows(), params['decoder'])
  tensors |= weight_table.to_hf(tower_rows(), params['tower'])
  export.write(folder, fields | end_fields(tokenizer), tensors, {})
  write_json(folder / 'preprocessor_config.json', mel_fields(MEL))
  write_records(folder, tokenizer, record)
