"""Encodes prompts for Stable Diffusion 3: two CLIP towers and T5.

  states [77 + T, 4096]: the channels of CLIP-L and bigG side by side, padded
                         with zeros; below them T5's states, or zeros without T5
  pooled [2048]:         pooled CLIP-L and bigG, side by side

Nothing is masked, so padding is attended to. The towers have 5.6 billion
parameters and are needed once. They are loaded one after another; each encodes
all prompts and is then freed.
"""

from collections.abc import Callable, Iterator, Sequence
import pathlib
from typing import Any, NamedTuple

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.clip.towers import (
  LEGACY_EOS_ID,
  ClipText,
  ClipTextConfig,
)
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.files import text_encoder_tables, weight_table
from adrpo_jax.models.files.config_files import config_from_fields, read_config
from adrpo_jax.models.files.safetensors_trees import with_dtype
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.files.tokenizers import padding_tokenizer
from adrpo_jax.models.sd3.folder import WithShardings
from adrpo_jax.models.sd3.folder_fields import has_t5
from adrpo_jax.models.sd3.mmdit import MMDiTConfig
from adrpo_jax.models.sd3.t5 import MAX_DISTANCE, T5Config, T5Encoder
from adrpo_jax.types import PyTree

CLIP_LENGTH = 77
# Buffers, and the second copy of the embedding that files of T5 may have.
IGNORED = r'position_ids$|^encoder\.embed_tokens\.weight$'


class Tower(NamedTuple):
  """A text encoder of a folder.

  tokens: (texts) -> [N, L]
  load:   () -> parameters, on the mesh
  apply:  (parameters, tokens [B, L]) -> features
  """

  tokens: Callable[[Sequence[str]], np.ndarray]
  load: Callable[[], PyTree]
  apply: Callable[[PyTree, jax.Array], Any]


def clip_tower(
  folder: pathlib.Path,
  number: str,
  compute: Compute,
  with_shardings: WithShardings,
) -> Tower:
  """Makes the `Tower` of text_encoder`number`; number is '' or '_2'."""
  path = folder / f'text_encoder{number}'
  config = _clip_config(path)
  model = ClipText(config, compute)
  return Tower(
    padding_tokenizer(
      folder / f'tokenizer{number}', CLIP_LENGTH, config.vocab_size
    ),
    _loader(
      model, path, text_encoder_tables.clip_text_rows(), compute, with_shardings
    ),
    jax.jit(model.apply),
  )


def t5_tower(
  folder: pathlib.Path,
  length: int,
  compute: Compute,
  with_shardings: WithShardings,
) -> Tower:
  """Makes the `Tower` of text_encoder_3, for texts of `length` tokens."""
  path = folder / 'text_encoder_3'
  config = _t5_config(path)
  model = T5Encoder(config, compute)
  return Tower(
    padding_tokenizer(folder / 'tokenizer_3', length, config.vocab_size),
    _loader(
      model, path, text_encoder_tables.t5_rows(), compute, with_shardings
    ),
    jax.jit(model.apply),
  )


def check_towers(folder: pathlib.Path, transformer: MMDiTConfig) -> None:
  """Checks that the states of a folder's towers fit its transformer.

  Raises:
    InputError: they do not, or a config is not that of a tower.
  """
  clips = [
    _clip_config(folder / f'text_encoder{number}') for number in ('', '_2')
  ]
  width = transformer.joint_attention_dim
  channels = sum(clip.hidden_size for clip in clips)
  pooled = sum(clip.projection_dim for clip in clips)
  if channels > width or pooled != transformer.pooled_projection_dim:
    raise InputError(
      f'Expected text_encoder and text_encoder_2 in {folder} to have hidden_'
      f'size of at most {width} together and projection_dim of '
      f'{transformer.pooled_projection_dim} together, joint_attention_dim and '
      f'pooled_projection_dim of the transformer, got {channels} and {pooled}.'
    )
  if has_t5(folder):
    t5 = _t5_config(folder / 'text_encoder_3')
    if t5.d_model != width:
      raise InputError(
        f'Expected d_model = {width}, joint_attention_dim of the transformer, '
        f'in {folder}/text_encoder_3/config.json, got {t5.d_model}.'
      )


def encode_prompts(
  folder: pathlib.Path,
  texts: Sequence[str],
  *,
  width: int,
  t5_length: int,
  compute: Compute,
  with_shardings: WithShardings,
  batch: int = 8,
) -> Iterator[tuple[str, Condition]]:
  """Yields (text, its condition on the host) in the order of `texts`.

  Args:
    folder: the pipeline; without a T5, see `has_t5`, its states are zeros.
    texts: prompts; '' is the empty prompt of classifier-free guidance.
    width: the width of the states, the transformer's joint_attention_dim.
    t5_length: T, up to 512.
    compute: its dtype is the dtype of the parameters and of the result too.
    with_shardings: returns a tree of shapes with their shardings.
    batch: texts at a time.
  """
  pooled, states = [], []
  for number in ('', '_2'):
    tower = clip_tower(folder, number, compute, with_shardings)
    outputs = list(_features(tower, texts, batch))
    states.append([features.penultimate for features in outputs])
    pooled.append([features.pooled for features in outputs])
  if has_t5(folder):
    t5_states = _features(
      t5_tower(folder, t5_length, compute, with_shardings), texts, batch
    )
  else:
    zeros = np.zeros((t5_length, width), compute.dtype)
    t5_states = (zeros for _ in texts)
  for i, (text, last) in enumerate(zip(texts, t5_states, strict=True)):
    clip = np.concatenate([tower[i] for tower in states], -1)
    padded = np.pad(clip, ((0, 0), (0, width - clip.shape[-1])))
    yield (
      text,
      Condition(
        np.concatenate([padded, last]),
        np.concatenate([tower[i] for tower in pooled]),
      ),
    )


def _clip_config(path: pathlib.Path) -> ClipTextConfig:
  file = path / 'config.json'
  config = config_from_fields(
    ClipTextConfig, read_config(file), file, {'eos_token_id': LEGACY_EOS_ID}
  )
  if config.max_position_embeddings < CLIP_LENGTH:
    raise InputError(
      f'Expected max_position_embeddings of at least {CLIP_LENGTH}, the tokens '
      f'that SD3 reads, in {file}, got {config.max_position_embeddings}.'
    )
  return config


def _t5_config(path: pathlib.Path) -> T5Config:
  file = path / 'config.json'
  defaults = {'relative_attention_max_distance': MAX_DISTANCE}
  return config_from_fields(T5Config, read_config(file), file, defaults)


def _features(
  tower: Tower, texts: Sequence[str], batch: int
) -> Iterator[PyTree]:
  """Yields the features of each text on the host, then frees the tower."""
  tokens, params = tower.tokens(texts), tower.load()
  for start in range(0, len(texts), batch):
    rows = tokens[start : start + batch]
    count = len(rows)
    rows = np.pad(rows, ((0, batch - count), (0, 0)), mode='edge')
    features = tower.apply(params, jnp.asarray(rows))
    features = multihost_utils.process_allgather(features, tiled=True)
    for i in range(count):
      yield jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), features)


def _loader(
  model: Any,
  path: pathlib.Path,
  rows: Sequence[weight_table.Row],
  compute: Compute,
  with_shardings: WithShardings,
) -> Callable[[], PyTree]:
  def load() -> PyTree:
    tokens = jnp.zeros((1, 2), jnp.int32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), tokens)
    with tensor_files(path) as files:
      return weight_table.load(
        files, rows, with_shardings(with_dtype(shapes, compute.dtype)), IGNORED
      )

  return load
