"""Compares the audio tower with that of transformers' Qwen2.5-Omni."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

from closeness import TOLERANCE, check_gradients, distance
import tiny_omni

from adrpo_jax.models.audio.tower import (
  AudioTower,
  AudioTowerConfig,
  param_shapes,
  tokens_of,
)
from adrpo_jax.models.audio.weight_table import UNUSED, tower_rows
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.tensor_files import tensor_files

pytestmark = pytest.mark.parity

SIZES = {k: v for k, v in tiny_omni.AUDIO.items() if 'positions' not in k}
CONFIG = AudioTowerConfig(**SIZES)
N = CONFIG.n_window
OTHERS = rf'{UNUSED}|^(model|visual|lm_head)\.'


@pytest.fixture(scope='module')
def theirs():
  return tiny_omni.theirs()


@pytest.fixture(scope='module')
def params(theirs, tmp_path_factory):
  folder = tmp_path_factory.mktemp('thinker')
  theirs.save_pretrained(folder)
  with tensor_files(folder) as files:
    return weight_table.load(files, tower_rows(), param_shapes(CONFIG), OTHERS)


def their_features(model, mels):
  return model.get_audio_features(
    **tiny_omni.their_audio(mels), return_dict=True
  ).last_hidden_state


# Both of 2n-1 and 2n+1 are odd tails; 4n is two whole chunks. A clip of one
# frame has no token and stands beside others, as theirs needs one at least.
@pytest.mark.parametrize(
  'lengths',
  [
    (3,),
    (2 * N - 1,),
    (2 * N,),
    (2 * N + 1,),
    (2 * N + 3,),
    (4 * N,),
    (37, 20, 58, 1, 4 * N, 5),
  ],
  ids=str,
)
def test_features(theirs, params, lengths):
  mels = tiny_omni.clips(lengths)
  with torch.no_grad():
    expected = their_features(theirs, mels).numpy()
  mel, frames = tiny_omni.chunked(mels)
  tower = AudioTower(CONFIG, Compute(scan_layers=True))
  rows = np.asarray(jax.jit(tower.apply)(params, mel, frames))
  ours = [row[: tokens_of(f)] for row, f in zip(rows, lengths, strict=True)]
  assert distance(np.concatenate(ours), expected) < TOLERANCE


def test_gradients(theirs, params):
  mels = tiny_omni.clips((23, 40))
  theirs.zero_grad()
  (their_features(theirs, mels) ** 2).sum().backward()
  mel, frames = tiny_omni.chunked(mels)
  real = np.arange(2 * N)[: mel.shape[1] * N // 2] < tokens_of(frames)[:, None]

  def loss(params):
    rows = AudioTower(CONFIG, Compute(scan_layers=True)).apply(
      params, mel, frames
    )
    return jnp.sum(jnp.where(real[..., None], rows, 0) ** 2)

  gradients = jax.jit(jax.grad(loss))(params)
  expected = {
    name.removeprefix('model.'): parameter
    for name, parameter in theirs.named_parameters()
    if name.startswith('model.audio_tower') and 'bos_eos' not in name
  }
  check_gradients(weight_table.to_hf(tower_rows(), gradients), expected)
