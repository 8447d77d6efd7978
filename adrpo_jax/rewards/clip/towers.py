"""CLIP's towers with their weights: texts are embedded once, images each step.

Both compute in float32 whatever the dtype of the file: scores in a lower
precision differ in their third digit.
"""

from collections.abc import Sequence
import functools
from typing import Any, NamedTuple

from absl import logging
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np

from adrpo_jax import sharding
from adrpo_jax.errors import InputError
from adrpo_jax.models.clip.towers import ClipText, ClipVision, ClipVisionConfig
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.files.tokenizers import padding_tokenizer
from adrpo_jax.rewards.clip.folder import Clip
from adrpo_jax.rewards.clip.weight_tables import weight_layout
from adrpo_jax.types import Array, PyTree

PRECISION = 'float32'  # of products; the default of a TPU is lower

# Sizes of the vision towers that rewards are published with.
VIT_L14 = ClipVisionConfig()
VIT_H14 = ClipVisionConfig(
  hidden_size=1280,
  intermediate_size=5120,
  projection_dim=1024,
  num_hidden_layers=32,
  hidden_act='gelu',
)


class Replicated:
  """Host arrays that are replicated over the devices of other arrays."""

  def __init__(self, tree: PyTree):
    self._tree = tree
    self._placed: tuple[Any, PyTree] = (None, None)

  def on_devices_of(self, array: jax.Array) -> PyTree:
    """Returns the tree on the devices of `array`, and keeps it there."""
    target: Any = array.sharding
    if isinstance(target, NamedSharding):
      target = NamedSharding(target.mesh, PartitionSpec())
    if self._placed[0] != target:
      targets = jax.tree.map(lambda _: target, self._tree)
      self._placed = target, sharding.put_tree(self._tree, targets)
    return self._placed[1]


class VisionTower(NamedTuple):
  """apply: (parameters, images [B, S, S, 3]) -> embeddings [B, D]."""

  model: ClipVision
  params: Replicated

  @property
  def apply(self) -> Any:
    return self.model.apply


def embed_texts(
  clip: Clip, texts: Sequence[str], batch: int = 64
) -> np.ndarray:
  """The embeddings of texts, [N, D] on the host, not normalized.

  Each distinct text is embedded once; the weights are loaded for the call only.

  Raises:
    InputError: no text tower, no tokenizer, or weights that do not fit.
  """
  distinct = list(dict.fromkeys(texts))
  length = clip.text.max_position_embeddings
  tokenize = padding_tokenizer(clip.base, length, clip.text.vocab_size)
  tokens = tokenize(distinct)
  model = ClipText(clip.text, _compute())
  with tensor_files(clip.weights) as files:
    table = weight_layout(files.shapes, files.where)
    params = weight_table.load(
      files, table.text, _shapes(model, tokens[:1]), table.beside_text
    )
  params = jax.tree.map(jnp.asarray, params)

  @jax.jit
  def pooled(params: PyTree, tokens: Array) -> Array:
    with jax.default_matmul_precision(PRECISION):
      return model.apply(params, tokens).pooled

  size = min(batch, len(tokens))
  embedded = []
  for start in range(0, len(tokens), size):
    rows = tokens[start : start + size]
    filled = np.pad(rows, ((0, size - len(rows)), (0, 0)), mode='edge')
    embedded.append(np.asarray(pooled(params, filled))[: len(rows)])
  places = {text: i for i, text in enumerate(distinct)}
  return np.concatenate(embedded)[[places[text] for text in texts]]


def logit_scale(clip: Clip) -> float:
  """exp(s), the trained factor of the cosines of a pair; about 100.

  Raises:
    InputError: the file has no s.
  """
  with tensor_files(clip.weights) as files:
    name = weight_layout(files.shapes, files.where).scale
    if name not in files.shapes:
      raise InputError(f'Expected {name} in {files.where}, which has none.')
    return float(np.exp(np.float64(files.read(name).item())))


@functools.lru_cache(maxsize=4)
def vision_tower(clip: Clip) -> VisionTower:
  """Loads the vision tower of a pair; rewards of one pair share it.

  Raises:
    InputError: weights are missing or do not fit the config.
  """
  size = clip.vision.image_size
  model = ClipVision(clip.vision, _compute())
  images = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
  shapes = _shapes(model, images)
  with tensor_files(clip.weights) as files:
    table = weight_layout(files.shapes, files.where)
    params = weight_table.load(files, table.vision, shapes, table.beside_vision)
  logging.info('Vision tower %s: %s', clip.weights, clip.vision)
  return VisionTower(model, Replicated(params))


def _compute() -> Compute:
  return Compute(scan_layers=jax.default_backend() != 'cpu')


def _shapes(model: Any, inputs: np.ndarray | jax.ShapeDtypeStruct) -> PyTree:
  return jax.eval_shape(model.init, jax.random.key(0), inputs)
