"""A random Qwen2.5-Omni of a few thousand weights, in the layout of the Hub.

It allows trying the whole path of a real thinker on a laptop: the nested
config, tensors `thinker.…` with a vision tower among them, the settings of
features, a tokenizer of bytes with the special tokens of Qwen, and a chat
template. Its completions are noise.
"""

import dataclasses
import math
import pathlib
from typing import Any

import jax
import numpy as np

from adrpo_jax.models.audio import tower as audio_tower
from adrpo_jax.models.audio.log_mel import MelSettings
from adrpo_jax.models.audio.weight_table import tower_rows
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.models.decoder.weight_table import decoder_rows
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.config_files import write_json
from adrpo_jax.models.files.safetensors_trees import save_tree
from adrpo_jax.models.omni.config_fields import mel_fields, thinker_fields
from adrpo_jax.models.omni.folder import THINKER, WHOLE
from adrpo_jax.models.tiny import qwen

SPECIAL = (
  *('<|endoftext|>', '<|im_start|>', '<|im_end|>'),
  *('<|AUDIO|>', '<|audio_bos|>', '<|audio_eos|>'),
  *('<|IMAGE|>', '<|VIDEO|>', '<|vision_bos|>', '<|vision_eos|>'),
)
IDS = {token: 256 + i for i, token in enumerate(SPECIAL)}
CHAT_TEMPLATE = (
  "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
  "You are a helpful assistant.<|im_end|>\n' }}{% endif %}"
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
  "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
  "{% for part in m['content'] %}{% if part['type'] == 'audio' %}"
  '<|audio_bos|><|AUDIO|><|audio_eos|>'
  "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
  "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}"
  "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Of the rows 256 are bytes, ten are special tokens, and six are unused.
DECODER = dataclasses.replace(qwen.CONFIG, tie_word_embeddings=False)
TOWER = audio_tower.AudioTowerConfig(
  num_mel_bins=16,
  d_model=32,
  encoder_layers=2,
  encoder_attention_heads=4,
  encoder_ffn_dim=64,
  n_window=20,  # chunks of 0.8 s at a hop of 20 ms, 12.5 tokens a second
  output_dim=32,
)
MEL = MelSettings(
  feature_size=TOWER.num_mel_bins,
  sampling_rate=16000,
  hop_length=320,
  n_fft=400,
  chunk_length=30,
)
# The tensors of the vision tower in VISION, which is neither read nor trained.
_SQUARE: dict[str, tuple[int, ...]] = {'weight': (16, 16), 'bias': (16,)}
_WIDE = 64
VISION_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
  'patch_embed.proj': {'weight': (16, 3, 2, 14, 14)},
  'merger.ln_q': {'weight': (16,)},
  'merger.mlp.0': {'weight': (_WIDE, _WIDE), 'bias': (_WIDE,)},
  'merger.mlp.2': {'weight': (32, _WIDE), 'bias': (32,)},
  **{f'blocks.0.norm{i}': {'weight': (16,)} for i in (1, 2)},
  **{f'blocks.0.attn.{name}': _SQUARE for name in ('q', 'k', 'v', 'proj')},
  **{f'blocks.0.mlp.{n}_proj': _SQUARE for n in ('gate', 'up', 'down')},
}


def write(folder: pathlib.Path) -> pathlib.Path:
  """Writes the model, and returns its folder."""
  folder.mkdir(parents=True, exist_ok=True)
  qwen.write_tokenizer(folder, SPECIAL, CHAT_TEMPLATE)
  write_json(folder / 'preprocessor_config.json', mel_fields(MEL))
  write_json(
    folder / 'generation_config.json',
    {
      'eos_token_id': [IDS['<|im_end|>'], IDS['<|endoftext|>']],
      'pad_token_id': IDS['<|endoftext|>'],
    },
  )
  save_tree(
    folder / 'model.safetensors',
    {f'thinker.{name}': array for name, array in _tensors().items()},
    {'format': 'pt'},
  )
  write_json(folder / 'config.json', whole_fields())
  return folder


def whole_fields() -> dict[str, Any]:
  """Returns the config.json, in the spelling of the files on the Hub."""
  return {
    'architectures': ['Qwen2_5OmniModel'],
    'model_type': WHOLE,
    'enable_audio_output': False,
    'torch_dtype': 'float32',
    'thinker_config': {
      'model_type': THINKER,
      **thinker_fields(TOWER, DECODER, IDS.__getitem__),
      'pad_token_id': IDS['<|endoftext|>'],
    },
  }


def _tensors() -> dict[str, np.ndarray]:
  """Random tensors, under the names of the thinker alone."""
  keys = jax.random.split(jax.random.key(0))

  @jax.jit
  def init(keys):
    decoder = decoder_folder.init_params(Decoder(DECODER), keys[0])
    return decoder, audio_tower.init_params(TOWER, keys[1])

  decoder, tower = init(keys)
  tensors = weight_table.to_hf(decoder_rows(), decoder)
  tensors |= weight_table.to_hf(tower_rows(), tower)
  rng = np.random.default_rng(0)
  shapes = {
    'audio_tower.audio_bos_eos_token.weight': (2, TOWER.output_dim),
    **{
      f'visual.{module}.{name}': shape
      for module, parts in VISION_SHAPES.items()
      for name, shape in parts.items()
    },
  }
  unread = {
    name: rng.normal(size=shape) / math.sqrt(shape[-1])
    for name, shape in shapes.items()
  }
  return tensors | {n: a.astype(np.float32) for n, a in unread.items()}
