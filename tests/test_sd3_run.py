"""A run on a Stable Diffusion 3 folder: what it holds, and what it refuses."""

import gc

import jax
import numpy as np
import pytest
import small_run

from adrpo_jax.errors import InputError
from adrpo_jax.models.files.safetensors_trees import save_tree
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.sd3 import text_conditions
from adrpo_jax.models.tiny import sd3 as sd3_tiny

VOCABULARIES = {sd3_tiny.CLIP.vocab_size, sd3_tiny.T5.vocab_size}


@pytest.fixture
def cache(monkeypatch, tmp_path):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  return tmp_path / 'adrpo_jax'


def built(**changes):
  settings = {k.replace('__', '.'): v for k, v in changes.items()}
  config = small_run.preset_config('sd3_tiny', settings)
  config.reward.weights = {'jpeg_incompressibility': 1.0}
  config.reward.normalize = {'jpeg_incompressibility': 'raw'}
  return small_run.build(config)


@pytest.mark.slow
def test_text_encoders_are_gone_once_prompts_are_encoded(cache, monkeypatch):
  loaded = []
  applied = text_conditions._features

  def watched(tower, texts, batch):
    yield from applied(tower, texts, batch)
    loaded.append(tower)

  monkeypatch.setattr(text_conditions, '_features', watched)
  before = {id(array) for array in jax.live_arrays()}
  run = built()
  assert len(loaded) >= 3  # CLIP twice, and T5
  gc.collect()
  left = [a for a in jax.live_arrays() if id(a) not in before]
  assert sum(a.nbytes for a in left) > 1e5  # The transformer is there.
  assert not [a.shape for a in left if VOCABULARIES & set(a.shape)]
  weights = [run.frozen['reference'], run.frozen['autoencoder']]
  kept = sum(leaf.nbytes for leaf in jax.tree.leaves(weights))
  assert sum(a.nbytes for a in left) < 1.2 * kept


@pytest.mark.slow
def test_the_next_run_reads_its_prompts_from_the_disk(cache, monkeypatch):
  first = built()

  def encode(*_, **__):
    raise AssertionError('Prompts were encoded again.')

  monkeypatch.setattr(text_conditions, 'encode_prompts', encode)
  again = built()
  ids = np.array([3, 0])
  for a, b in zip(
    *(jax.tree.leaves(run.prompts_of(ids)) for run in (first, again)),
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)


def folder_with(cache, spoil):
  folder = sd3_tiny.write(cache / 'spoiled')
  spoil(folder)
  return {'model__family': 'sd3', 'model__path': str(folder)}


def _truncate(folder):
  file = folder / 'transformer' / 'diffusion_pytorch_model.safetensors'
  file.write_bytes(file.read_bytes()[:-8])


def _integers(folder):
  path = folder / 'vae' / 'diffusion_pytorch_model.safetensors'
  with tensor_files(path) as files:
    tensors = {name: files.read(name) for name in files.shapes}
  tensors['decoder.conv_in.bias'] = np.zeros(16, np.int32)
  save_tree(path, tensors)


def _no_encoder(folder):
  (folder / 'text_encoder_2' / 'model.safetensors').unlink()


@pytest.mark.parametrize(
  ('spoil', 'said'),
  [
    (_truncate, 'cut short or damaged'),
    (_integers, r'decoder\.conv_in\.bias: expected float .* got integer'),
    (_no_encoder, r'Expected .*model\.safetensors.* in .*text_encoder_2'),
  ],
)
def test_a_folder_that_is_not_whole(cache, spoil, said):
  with pytest.raises(InputError, match=said):
    built(**folder_with(cache, spoil))


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'model__family': 'sd3'}, r'Expected --config\.model\.path'),
    ({'model__family': 'sd9'}, "'sd9'. Did you mean 'sd3'"),
    ({'model__resolution': 60}, 'multiple of 16, got 60'),
    ({'compute__remat_policy': 'some'}, "'some'"),
    ({'prompts__source': ''}, r'Expected --config\.prompts\.source=FILE'),
    (
      {'prompts__eval_prompts': 'none.csv'},
      'none.csv: expected a readable file',
    ),
  ],
)
def test_a_setting_that_does_not_fit(cache, changes, said):
  with pytest.raises(InputError, match=said):
    built(**changes)
