"""The config files of a small thinker, spelled as the files on the Hub are."""

from collections.abc import Callable
import dataclasses
from typing import Any

from adrpo_jax.models.audio.log_mel import MelSettings
from adrpo_jax.models.audio.tower import AudioTowerConfig
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import DecoderConfig
from adrpo_jax.models.omni.folder import PARTS

# The vision tower that transformers makes beside any thinker, as small as can
# be.
VISION = {
  'model_type': 'qwen2_5_omni_vision_encoder',
  'depth': 1,
  'hidden_size': 16,
  'intermediate_size': 16,
  'num_heads': 2,
  'patch_size': 14,
  'fullatt_block_indexes': [0],
}
# Field of a config -> the token whose id it states.
TOKENS = {
  'audio_token_index': '<|AUDIO|>',
  'audio_start_token_id': '<|audio_bos|>',
  'audio_end_token_id': '<|audio_eos|>',
  'image_token_index': '<|IMAGE|>',
  'video_token_index': '<|VIDEO|>',
  'vision_start_token_id': '<|vision_bos|>',
  'vision_end_token_id': '<|vision_eos|>',
}


def thinker_fields(
  tower: AudioTowerConfig, decoder: DecoderConfig, id_of: Callable[[str], int]
) -> dict[str, Any]:
  """Returns the fields of a thinker, without those that end or pad a text.

  Args:
    tower: the sizes of the audio tower.
    decoder: the sizes of the decoder.
    id_of: (token) -> its id, for the special tokens in TOKENS.
  """
  text = decoder_folder.config_fields(decoder)
  del text['architectures']
  half = decoder.head_dim // 2
  time = half - 2 * (half // 3)
  return {
    'audio_config': {
      'model_type': PARTS['audio_config'],
      **dataclasses.asdict(tower),
      'activation_function': 'gelu',
      'max_source_positions': 1500,
    },
    'text_config': text
    | {
      'model_type': PARTS['text_config'],
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
    **{field: id_of(token) for field, token in TOKENS.items()},
  }


def mel_fields(mel: MelSettings) -> dict[str, Any]:
  """Returns the preprocessor_config.json of the features of sounds."""
  return {
    'feature_extractor_type': 'WhisperFeatureExtractor',
    'processor_class': 'Qwen2_5OmniProcessor',
    **mel._asdict(),
    'n_samples': mel.longest,
    'nb_max_frames': mel.longest // mel.hop_length,
    'dither': 0.0,
    'padding_side': 'right',
    'padding_value': 0.0,
    'return_attention_mask': True,
  }
