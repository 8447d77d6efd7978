"""A random Stable Diffusion 3 of a few thousand weights, in the real layout.

It allows trying the whole path of a real model on a laptop. The folder has all
files of a released model, tokenizers included, for images of 64² pixels. The
images are noise.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.models.clip.towers import ClipText, ClipTextConfig
from adrpo_jax.models.files import text_encoder_tables, weight_table
from adrpo_jax.models.files.config_files import write_json
from adrpo_jax.models.files.safetensors_trees import save_tree
from adrpo_jax.models.sd3 import weight_tables as sd3_tables
from adrpo_jax.models.sd3.autoencoder import AutoencoderConfig
from adrpo_jax.models.sd3.export import save_transformer
from adrpo_jax.models.sd3.folder import autoencoder_shapes, transformer_shapes
from adrpo_jax.models.sd3.mmdit import MMDiTConfig
from adrpo_jax.models.sd3.t5 import T5Config, T5Encoder
from adrpo_jax.system.files import replacing
from adrpo_jax.types import PyTree

TRANSFORMER = MMDiTConfig(
  sample_size=8,
  num_layers=3,
  num_attention_heads=2,
  attention_head_dim=16,
  joint_attention_dim=48,
  pooled_projection_dim=32,
  pos_embed_max_size=12,
)
TRANSFORMER_35 = dataclasses.replace(
  TRANSFORMER, qk_norm=True, dual_attention_layers=(0, 1)
)
AUTOENCODER = AutoencoderConfig(
  block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=4
)
CLIP = ClipTextConfig(
  vocab_size=514,
  hidden_size=16,
  intermediate_size=32,
  projection_dim=16,
  num_hidden_layers=2,
  num_attention_heads=2,
)
T5 = T5Config(
  vocab_size=71, d_model=48, d_kv=8, d_ff=32, num_layers=2, num_heads=2
)

_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
_CHARACTERS = (
  '▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?-'
)


def write(
  folder: pathlib.Path,
  transformer: MMDiTConfig = TRANSFORMER,
  seed: int = 0,
  t5: bool = True,
) -> pathlib.Path:
  """Writes the folder of a pipeline and returns it."""
  folder.mkdir(parents=True, exist_ok=True)
  shapes = transformer_shapes(transformer, (8, 8))
  save_transformer(folder, transformer, _random_params(shapes, seed))
  _save(
    folder / 'vae',
    'diffusion_pytorch_model',
    weight_table.to_hf(
      sd3_tables.autoencoder_rows(),
      _random_params(autoencoder_shapes(AUTOENCODER), seed + 1),
    ),
    _autoencoder_fields(),
  )
  encoders = {'': (CLIP, 'quick_gelu'), '_2': (CLIP, 'gelu')}
  for i, (number, (config, activation)) in enumerate(encoders.items()):
    tower = ClipText(dataclasses.replace(config, hidden_act=activation))
    _save(
      folder / f'text_encoder{number}',
      'model',
      weight_table.to_hf(
        text_encoder_tables.clip_text_rows(),
        _random_params(_text_shapes(tower), seed + 2 + i),
      ),
      dataclasses.asdict(tower.config)
      | {
        'architectures': ['CLIPTextModelWithProjection'],
        'model_type': 'clip_text_model',
        'bos_token_id': 512,
        'pad_token_id': 1,
      },
    )
    write_clip_tokenizer(
      folder / f'tokenizer{number}', '!' if number else '<|endoftext|>'
    )
  if t5:
    _save(
      folder / 'text_encoder_3',
      'model',
      weight_table.to_hf(
        text_encoder_tables.t5_rows(),
        _random_params(_text_shapes(T5Encoder(T5)), seed + 4),
      ),
      dataclasses.asdict(T5)
      | {
        'architectures': ['T5EncoderModel'],
        'model_type': 't5',
        'feed_forward_proj': 'gated-gelu',
      },
    )
    _write_t5_tokenizer(folder / 'tokenizer_3')
  write_json(
    folder / 'scheduler' / 'scheduler_config.json',
    {
      '_class_name': 'FlowMatchEulerDiscreteScheduler',
      'num_train_timesteps': 1000,
      'shift': 3.0,
    },
  )
  write_json(folder / 'model_index.json', _index(t5))
  return folder


def write_clip_tokenizer(folder: pathlib.Path, padding: str) -> None:
  """Writes CLIP's byte tokenizer without merges: every letter is a token."""
  rest = [byte for byte in range(256) if byte not in _PRINTABLE]
  letters = [chr(byte) for byte in _PRINTABLE]
  letters += [chr(256 + i) for i in range(len(rest))]
  tokens = [*letters, *(f'{letter}</w>' for letter in letters)]
  tokens += ['<|startoftext|>', '<|endoftext|>']
  write_json(
    folder / 'vocab.json', {token: i for i, token in enumerate(tokens)}
  )
  with replacing(folder / 'merges.txt') as new:
    new.write_text('#version: 0.2\n')
  write_json(
    folder / 'tokenizer_config.json',
    {
      'tokenizer_class': 'CLIPTokenizer',
      'bos_token': '<|startoftext|>',
      'eos_token': '<|endoftext|>',
      'unk_token': '<|endoftext|>',
      'pad_token': padding,
      'model_max_length': 77,
      'do_lower_case': True,
    },
  )


def _write_t5_tokenizer(folder: pathlib.Path) -> None:
  from tokenizers import Tokenizer, models, pre_tokenizers, processors

  pieces = [('<pad>', 0.0), ('</s>', 0.0), ('<unk>', -10.0)]
  pieces += [(letter, -3.0) for letter in _CHARACTERS]
  tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
  tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
  tokenizer.post_processor = processors.TemplateProcessing(
    single='$A </s>', special_tokens=[('</s>', 1)]
  )
  folder.mkdir(parents=True, exist_ok=True)
  tokenizer.save(str(folder / 'tokenizer.json'))
  write_json(
    folder / 'tokenizer_config.json',
    {
      'tokenizer_class': 'T5TokenizerFast',
      'eos_token': '</s>',
      'unk_token': '<unk>',
      'pad_token': '<pad>',
      'model_max_length': 512,
      'extra_ids': 0,
    },
  )


def _index(t5: bool) -> dict[str, Any]:
  encoder = ['transformers', 'T5EncoderModel'] if t5 else [None, None]
  tokenizer = ['transformers', 'T5TokenizerFast'] if t5 else [None, None]
  return {
    '_class_name': 'StableDiffusion3Pipeline',
    '_diffusers_version': '0.42.1',
    'scheduler': ['diffusers', 'FlowMatchEulerDiscreteScheduler'],
    'text_encoder': ['transformers', 'CLIPTextModelWithProjection'],
    'text_encoder_2': ['transformers', 'CLIPTextModelWithProjection'],
    'text_encoder_3': encoder,
    'tokenizer': ['transformers', 'CLIPTokenizer'],
    'tokenizer_2': ['transformers', 'CLIPTokenizer'],
    'tokenizer_3': tokenizer,
    'transformer': ['diffusers', 'SD3Transformer2DModel'],
    'vae': ['diffusers', 'AutoencoderKL'],
  }


def _autoencoder_fields() -> dict[str, Any]:
  levels = len(AUTOENCODER.block_out_channels)
  return dataclasses.asdict(AUTOENCODER) | {
    '_class_name': 'AutoencoderKL',
    'out_channels': AUTOENCODER.in_channels,
    'down_block_types': ['DownEncoderBlock2D'] * levels,
    'up_block_types': ['UpDecoderBlock2D'] * levels,
    'use_quant_conv': False,
    'use_post_quant_conv': False,
  }


def _text_shapes(model: ClipText | T5Encoder) -> PyTree:
  tokens = jnp.zeros((1, 77), jnp.int32)
  return jax.eval_shape(model.init, jax.random.key(0), tokens)


def _random_params(shapes: PyTree, seed: int) -> PyTree:
  """Random weights of a trained model's magnitude; none of them is 0 or 1."""
  rng = np.random.default_rng(seed)

  def random_leaf(path, leaf):
    noise = rng.normal(size=leaf.shape)
    if path[-1].key == 'scale':
      values = 1 + 0.1 * noise
    elif (
      path[-1].key == 'kernel'
    ):  # [..., in, out], a convolution's [h, w, ...]
      inputs = np.prod(leaf.shape[-4:-1] if leaf.ndim == 4 else leaf.shape[-2])
      values = noise / np.sqrt(inputs)
    else:
      values = 0.1 * noise
    return values.astype(np.float32)

  return jax.tree_util.tree_map_with_path(
    random_leaf, {'params': shapes['params']}
  )


def _save(
  folder: pathlib.Path,
  stem: str,
  tensors: dict[str, np.ndarray],
  fields: dict[str, Any],
) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  save_tree(folder / f'{stem}.safetensors', tensors, {'format': 'pt'})
  write_json(folder / 'config.json', fields)
