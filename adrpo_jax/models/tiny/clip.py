"""A random CLIP pair of a few thousand weights, in the layout of transformers.

It allows trying rewards without a download. Texts and images both influence the
scores, because no weight is 0 or 1.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from adrpo_jax.models.clip.towers import (
  ClipText,
  ClipTextConfig,
  ClipVision,
  ClipVisionConfig,
)
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.config_files import write_json
from adrpo_jax.models.files.safetensors_trees import save_tree
from adrpo_jax.models.files.text_encoder_tables import (
  clip_text_rows,
  clip_vision_rows,
)
from adrpo_jax.models.tiny.sd3 import write_clip_tokenizer

WIDTH = 12  # features of the embeddings
TEXT = ClipTextConfig(
  vocab_size=514,
  hidden_size=16,
  intermediate_size=24,
  projection_dim=WIDTH,
  num_hidden_layers=2,
  num_attention_heads=2,
  max_position_embeddings=24,
  hidden_act='gelu',
)
VISION = ClipVisionConfig(
  hidden_size=16,
  intermediate_size=24,
  projection_dim=WIDTH,
  num_hidden_layers=2,
  num_attention_heads=2,
  image_size=16,
  patch_size=8,
  hidden_act='gelu',
)
SCALE = np.float32(3.5)  # files store its logarithm


def config() -> dict[str, Any]:
  """Returns the fields of the pair's config.json."""
  return {
    'model_type': 'clip',
    'projection_dim': WIDTH,
    'text_config': dataclasses.asdict(TEXT) | {'bos_token_id': 512},
    'vision_config': dataclasses.asdict(VISION),
  }


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
  """Makes the pair's tensors, under the names of transformers."""
  images = np.zeros((1, 16, 16, 3), np.float32)
  rng = np.random.default_rng(seed)
  tensors_by_name = {'logit_scale': np.log(SCALE)}
  for model, inputs, rows in (
    (ClipText(TEXT), np.zeros((1, 24), np.int32), clip_text_rows()),
    (ClipVision(VISION), images, clip_vision_rows()),
  ):
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
    params = jax.tree.map(
      lambda leaf: 0.4 * rng.normal(size=leaf.shape).astype(np.float32), shapes
    )
    tensors_by_name |= weight_table.to_hf(rows, params)
  return tensors_by_name


def write(folder: pathlib.Path, seed: int = 0, **fields: Any) -> str:
  """Writes the folder, with `fields` in its config, and returns its path."""
  folder.mkdir(parents=True, exist_ok=True)
  save_tree(folder / 'model.safetensors', tensors(seed), {'format': 'pt'})
  write_json(folder / 'config.json', config() | fields)
  write_clip_tokenizer(folder, '<|endoftext|>')
  return str(folder)
