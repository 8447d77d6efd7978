"""The random CLIP pair of the package, and a head for its embeddings."""

import itertools
import pathlib

import numpy as np

from adrpo_jax.models.files.safetensors_trees import save_tree
from adrpo_jax.models.tiny.clip import (  # noqa: F401
  SCALE,
  TEXT,
  VISION,
  WIDTH,
  config,
  tensors,
  write,
)

# What the images of conftest.py are held against; one text stands twice.
TEXTS = ('A red fox on 2 hills.', 'an owl', 'x' * 60, 'an owl')


def write_head(folder: pathlib.Path, widths=(WIDTH, 7, 5, 1)) -> str:
  """Linear layers 0, 2, 4 ... of these widths; returns the file's path."""
  rng = np.random.default_rng(1)
  folder.mkdir(parents=True, exist_ok=True)
  found = {}
  for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
    found[f'layers.{2 * i}.weight'] = rng.normal(size=(outputs, inputs))
    found[f'layers.{2 * i}.bias'] = rng.normal(size=outputs)
  found = {name: array.astype(np.float32) for name, array in found.items()}
  save_tree(folder / 'model.safetensors', found)
  return str(folder / 'model.safetensors')
