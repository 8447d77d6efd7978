"""The head of the aesthetic predictor, by hand; torch is in tests/parity."""

import numpy as np
import pytest
import tiny_clip

from adrpo_jax.errors import InputError
from adrpo_jax.models.files.safetensors_trees import save_tree
from adrpo_jax.rewards.clip.aesthetic import aesthetic, read_head
from adrpo_jax.types import PromptBatch


def test_a_head_is_its_layers_one_after_the_other(tmp_path):
  affine = read_head(tiny_clip.write_head(tmp_path, (3, 2, 1)), 3)
  assert read_head(str(tmp_path), 3).bias == affine.bias
  layers = [
    {
      'layers.0.weight': [[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]],
      'layers.0.bias': [1.0, 2.0],
    },
    {'layers.2.weight': [[3.0, -1.0]], 'layers.2.bias': [0.5]},
  ]
  tensors = {
    name: np.array(array, np.float32)
    for layer in layers
    for name, array in layer.items()
  }
  save_tree(tmp_path / 'hand.safetensors', tensors)
  affine = read_head(str(tmp_path / 'hand.safetensors'), 3)
  # 3·(x + 2y + 1) − (y − z + 2) + 0.5
  np.testing.assert_array_equal(affine.weight, [3, 5, 1])
  assert affine.bias == 1.5


def test_a_head_of_another_tower_or_none(folder, tmp_path):
  wide = tiny_clip.write_head(tmp_path, (16, 4, 1))
  with pytest.raises(InputError, match=r'embeddings of 12.*got 16 to 1.*L/14'):
    aesthetic(tiny_clip.TEXTS, 0.0, path=folder, head=wide)
  broken = tiny_clip.write_head(tmp_path, (12, 4, 1))
  with pytest.raises(InputError, match='got 12 to 4'):
    read_head(tiny_clip.write_head(tmp_path / 'open', (12, 4)), 12)
  save_tree(
    tmp_path / 'apart.safetensors',
    {
      'layers.0.weight': np.ones((4, 12), np.float32),
      'layers.0.bias': np.ones(4, np.float32),
      'layers.2.weight': np.ones((1, 5), np.float32),
      'layers.2.bias': np.ones(1, np.float32),
    },
  )
  with pytest.raises(InputError, match=r'sizes match.*\[1, 5\] after 4'):
    read_head(str(tmp_path / 'apart.safetensors'), 12)
  for weight, bias in (((12,), ()), ((1, 12, 1), (1,)), ((1, 12), (1, 2))):
    save_tree(
      tmp_path / 'shapes.safetensors',
      {
        'layers.0.weight': np.ones(weight, np.float32),
        'layers.0.bias': np.ones(bias, np.float32),
      },
    )
    with pytest.raises(InputError, match=r'layers whose sizes|a matrix as'):
      read_head(str(tmp_path / 'shapes.safetensors'), 12)
  with pytest.raises(InputError, match='of the head of the aesthetic'):
    aesthetic(tiny_clip.TEXTS, 0.0, path=folder, head='')
  with pytest.raises(InputError, match=r"\['layers.0.weight'"):
    read_head(f'{folder}/model.safetensors', 12)
  with pytest.raises(InputError, match='a pickle'):
    read_head(str(tmp_path / 'sac+logos+ava1-l14-linearMSE.pth'), 12)
  assert read_head(broken, 12).weight.shape == (12,)


def test_aesthetic_does_not_look_at_the_prompt(folder, images, tmp_path):
  head = tiny_clip.write_head(tmp_path)
  reward = aesthetic(tiny_clip.TEXTS, 0.0, path=folder, head=head)
  first = reward(PromptBatch.of_step(np.arange(4)), images)
  second = reward(PromptBatch.of_step(np.arange(4)[::-1]), images)
  np.testing.assert_array_equal(first.rewards, second.rewards)
  assert first.valid.all()
