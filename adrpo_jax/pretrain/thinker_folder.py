"""Writes a small thinker as a folder of Qwen2.5-Omni."""

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any

from adrpo_jax.models.audio.tower import AudioTowerConfig
from adrpo_jax.models.audio.weight_table import tower_rows
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import DecoderConfig
from adrpo_jax.models.decoder.weight_table import decoder_rows
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.config_files import write_json
from adrpo_jax.models.omni import export
from adrpo_jax.pretrain.heard_prompts import MEL
from adrpo_jax.types import PyTree
from adrpo_jax.worlds.tones.tokenizer import AUDIO, AUDIO_END, AUDIO_START

# The vision tower that transformers makes beside any thinker, as small as can
# be; the folder has no weights of it.
VISION = {
  'model_type': 'qwen2_5_omni_vision_encoder',
  'depth': 1,
  'hidden_size': 16,
  'intermediate_size': 16,
  'num_heads': 2,
  'fullatt_block_indexes': [0],
}
# Field of a config -> the token whose id it states.
TOKENS = {
  'audio_token_index': AUDIO,
  'audio_start_token_id': AUDIO_START,
  'audio_end_token_id': AUDIO_END,
  'image_token_index': '<|IMAGE|>',
  'video_token_index': '<|VIDEO|>',
  'vision_start_token_id': '<|vision_bos|>',
  'vision_end_token_id': '<|vision_eos|>',
}


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
  ends = {
    'eos_token_id': tokenizer.eos_token_id,
    'pad_token_id': tokenizer.pad_token_id,
  }
  generation = ends | {
    'do_sample': True,
    'temperature': 1.0,
    'max_new_tokens': record['max_completion_length'],
  }
  ids = {f: tokenizer.convert_tokens_to_ids(t) for f, t in TOKENS.items()}
  tensors = weight_table.to_hf(decoder_rows(), params['decoder'])
  tensors |= weight_table.to_hf(tower_rows(), params['tower'])
  export.write(folder, thinker_fields(tower, decoder) | ids | ends, tensors, {})
  write_json(folder / 'preprocessor_config.json', mel_fields())
  write_json(folder / 'generation_config.json', generation)
  write_json(folder / 'pretraining.json', record)


def thinker_fields(
  tower: AudioTowerConfig, decoder: DecoderConfig
) -> dict[str, Any]:
  """Returns the sizes of a thinker, in the spelling of the files on the Hub."""
  text = decoder_folder.config_fields(decoder)
  del text['architectures']
  half = decoder.head_dim // 2
  time = half - 2 * (half // 3)
  return {
    'audio_config': {
      'model_type': 'qwen2_5_omni_audio_encoder',
      **dataclasses.asdict(tower),
      'activation_function': 'gelu',
      'max_source_positions': 1500,
    },
    'text_config': text
    | {
      'model_type': 'qwen2_5_omni_text',
      'max_position_embeddings': 4096,
      'rope_scaling': {
        # Of half a head: time, height, width.
        'mrope_section': [time, half // 3, half // 3],
        'rope_type': 'default',
        'type': 'default',
      },
    },
    'vision_config': VISION | {'out_hidden_size': decoder.hidden_size},
    'tie_word_embeddings': decoder.tie_word_embeddings,
    'position_id_per_seconds': 25,
    'seconds_per_chunk': 2,
  }


def mel_fields() -> dict[str, Any]:
  """Returns the preprocessor_config.json of the features of clips."""
  return {
    'feature_extractor_type': 'WhisperFeatureExtractor',
    'processor_class': 'Qwen2_5OmniProcessor',
    **MEL._asdict(),
    'n_samples': MEL.longest,
    'nb_max_frames': MEL.longest // MEL.hop_length,
    'dither': 0.0,
    'padding_side': 'right',
    'padding_value': 0.0,
    'return_attention_mask': True,
  }
