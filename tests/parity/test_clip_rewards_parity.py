"""Compares rewards of CLIP towers with transformers, from images to scores."""

import json

import numpy as np
from PIL import Image
import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

import jax.numpy as jnp

from adrpo_jax.models.files.safetensors_trees import save_tree
from adrpo_jax.models.tiny.sd3 import write_clip_tokenizer
from adrpo_jax.rewards.clip import preprocess
from adrpo_jax.rewards.image_table import REWARDS
from adrpo_jax.types import PromptBatch

pytestmark = pytest.mark.parity

SIZES = [(64, 64), (96, 64), (50, 131), (224, 224), (225, 301), (17, 23)]


def random_images(height, width, seed=0):
  """Images [2, H, W, 3] uint8: noise on large steps makes filters overshoot."""
  rng = np.random.default_rng(seed)
  steps = rng.integers(0, 2, (2, 1 + height // 8, 1 + width // 8, 3)) * 200
  large = steps.repeat(8, 1).repeat(8, 2)[:, :height, :width]
  return (large + rng.integers(0, 56, large.shape)).astype(np.uint8)


def processor(size):
  return transformers.CLIPImageProcessorPil(
    size={'shortest_edge': size}, crop_size={'height': size, 'width': size}
  )


@pytest.mark.parametrize('edges', SIZES, ids=str)
def test_pixels_of_files(edges):
  """Allows a level of 1/255 at ties of rounding, elsewhere rounding errors."""
  images = random_images(*edges)
  theirs = processor(56)(list(images), return_tensors='np').pixel_values
  ours = preprocess.clip_pixels(images, 56)
  levels = np.abs(ours - theirs.transpose(0, 2, 3, 1))
  levels = levels * 255 * np.array(preprocess.STD)
  assert levels.max() < 1.01
  assert (levels > 0.01).mean() < 1e-3


@pytest.mark.parametrize('edges', SIZES, ids=str)
def test_pixels_that_are_not_rounded(edges):
  """Pillow's filter on float channels."""
  images = random_images(*edges) / np.float32(255)
  height, width = edges
  scale = 56 / min(edges)
  rows, columns = int(height * scale + 1e-9), int(width * scale + 1e-9)
  for image, ours in zip(
    images,
    preprocess.clip_pixels(images, 56, preprocess.continuous),
    strict=True,
  ):
    channels = [
      np.asarray(
        Image.fromarray(image[..., i]).resize(
          (columns, rows), Image.Resampling.BICUBIC
        )
      )
      for i in range(3)
    ]
    full = np.clip(np.stack(channels, -1), 0, 1)
    top, left = (rows - 56) // 2, (columns - 56) // 2
    crop = full[top : top + 56, left : left + 56]
    expected = (crop - preprocess.MEAN) / np.array(preprocess.STD)
    assert np.abs(ours - expected).max() < 1e-3


@pytest.mark.parametrize('edges', SIZES, ids=str)
def test_pixels_of_hps(edges):
  images = torch.tensor(random_images(*edges) / np.float32(255)).permute(
    0, 3, 1, 2
  )
  rows, columns = (round(edge * 56 / max(edges)) for edge in edges)
  resized = torch.nn.functional.interpolate(
    images, (rows, columns), mode='bicubic', antialias=True
  )
  above, before = (56 - rows) // 2, (56 - columns) // 2
  padded = torch.zeros(2, 3, 56, 56)
  padded[:, :, above : above + rows, before : before + columns] = resized
  mean, std = (
    torch.tensor(v)[:, None, None] for v in (preprocess.MEAN, preprocess.STD)
  )
  expected = ((padded - mean) / std).permute(0, 2, 3, 1).numpy()
  ours = preprocess.hps_pixels(jnp.asarray(random_images(*edges)), 56)
  assert np.abs(ours - expected).max() < 1e-3


TEXTS = [
  'A red fox on 2 hills.',
  'an owl',
  '',
  'a prompt of more letters than the small tower reads, so that its end is cut',
]


def saved_pair(folder, activation='quick_gelu', end=2):
  """A CLIPModel of transformers with random weights, in a folder."""
  torch.manual_seed(0)
  sizes = {
    'hidden_size': 32,
    'intermediate_size': 48,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
    'hidden_act': activation,
  }
  words = {'bos_token_id': 512, 'eos_token_id': end, 'pad_token_id': 513}
  model = transformers.CLIPModel(
    transformers.CLIPConfig(
      text_config=sizes
      | words
      | {'vocab_size': 514, 'max_position_embeddings': 32},
      vision_config=sizes | {'image_size': 28, 'patch_size': 7},
      projection_dim=24,
    )
  )
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.add_(0.1 * torch.randn_like(parameter))
  model.eval().save_pretrained(folder)
  write_clip_tokenizer(folder, '<|endoftext|>')
  processor(28).save_pretrained(folder)
  return model


def their_scores(model, folder, images):
  """(cos [P, G], image embeddings [P, G, D]) of images [P, G, H, W, 3]."""
  read = transformers.CLIPProcessor(
    processor(28), transformers.AutoTokenizer.from_pretrained(folder)
  )
  cosines, embeddings = [], []
  for text, group in zip(TEXTS, images, strict=True):
    outputs = model(
      **read(
        text=[text],
        images=[Image.fromarray(image) for image in group],
        return_tensors='pt',
        padding='max_length',
        max_length=32,
        truncation=True,
      )
    )
    cosines.append((outputs.logits_per_image / model.logit_scale.exp())[:, 0])
    embeddings.append(outputs.vision_model_output.pooler_output)
  return torch.stack(cosines), torch.stack(embeddings)


@pytest.fixture(scope='module')
def image_files():
  """Images [4, 2, 28, 42, 3], which the processor crops and does not scale.

  Where it scales, single pixels are a level apart: see above.
  """
  return np.stack([random_images(28, 42, seed) for seed in range(4)])


@pytest.mark.parametrize(
  ('activation', 'end'), [('quick_gelu', 2), ('gelu', 513)]
)
@torch.no_grad()
def test_scores_of_a_pair(activation, end, image_files, tmp_path):
  model = saved_pair(tmp_path, activation, end)
  cosine, embeddings = their_scores(model, tmp_path, image_files)
  ids = np.array([3, 0, 2, 1])
  images = image_files[ids] / np.float32(255)
  expected = {
    'clip_score': 100 * cosine,
    'pick_score': model.logit_scale.exp() * cosine,
  }
  for name, theirs in expected.items():
    scores = REWARDS[name].make(TEXTS, 0.0, path=str(tmp_path))(
      PromptBatch.of_step(ids), images
    )
    assert scores.valid.all()
    assert np.abs(scores.rewards - theirs.numpy()[ids]).max() < 1e-3
    assert np.ptp(scores.rewards) > 1
  measured = (
    REWARDS['clip_score']
    .make(TEXTS, 0.0, path=str(tmp_path))(PromptBatch.of_step(ids), images)
    .measures
  )
  distances = np.linalg.norm(embeddings[:, 0] - embeddings[:, 1], axis=-1)[ids]
  np.testing.assert_allclose(
    measured['clip_diversity'], np.stack([distances, distances], 1), rtol=1e-4
  )
  along = torch.cosine_similarity(embeddings[:, 0], embeddings[:, 1]).numpy()
  np.testing.assert_allclose(
    measured['clip_diversity_cosine'][:, 0], 1 - along[ids], rtol=1e-3
  )


@torch.no_grad()
def test_scores_of_large_images(tmp_path):
  """Images scaled down from 100 × 75 differ by the rounding to levels."""
  model = saved_pair(tmp_path)
  large = np.stack([random_images(100, 75, seed) for seed in range(4)])
  cosine, _ = their_scores(model, tmp_path, large)
  scores = REWARDS['clip_score'].make(TEXTS, 0.0, path=str(tmp_path))(
    PromptBatch.of_step(np.arange(4)), large
  )
  assert np.abs(scores.rewards - 100 * cosine.numpy()).max() < 0.02


@torch.no_grad()
def test_hps_of_square_images(tmp_path):
  """cos; a square image of the tower's size needs no preprocessing."""
  model = saved_pair(tmp_path, 'gelu')
  square = np.stack([random_images(28, 28, seed) for seed in range(4)])
  cosine, _ = their_scores(model, tmp_path, square)
  scores = REWARDS['hps_v2'].make(TEXTS, 0.0, path=str(tmp_path))(
    PromptBatch.of_step(np.arange(4)), square
  )
  assert np.abs(scores.rewards - cosine.numpy()).max() < 1e-5


@torch.no_grad()
def test_aesthetic_of_images(image_files, tmp_path):
  """The published head, on normalized embeddings, in the file of its tower."""
  model = saved_pair(tmp_path / 'pair')
  head = torch.nn.Sequential(
    torch.nn.Linear(24, 16),
    torch.nn.Dropout(0.2),
    torch.nn.Linear(16, 8),
    torch.nn.Dropout(0.2),
    torch.nn.Linear(8, 6),
    torch.nn.Dropout(0.1),
    torch.nn.Linear(6, 4),
    torch.nn.Linear(4, 1),
  ).eval()
  head_tensors = {
    f'layers.{k}': v.numpy() for k, v in head.state_dict().items()
  }
  _, embeddings = their_scores(model, tmp_path / 'pair', image_files)
  expected = head(torch.nn.functional.normalize(embeddings, dim=-1))[..., 0]

  tower = transformers.CLIPVisionModelWithProjection(
    transformers.CLIPVisionConfig(
      **model.config.vision_config.to_dict() | {'projection_dim': 24}
    )
  )
  tower.load_state_dict(model.state_dict(), strict=False)
  tower.save_pretrained(tmp_path / 'both')
  fields = json.loads((tmp_path / 'both' / 'config.json').read_text())
  assert fields['model_type'] == 'clip_vision_model'
  with_head = {
    k: v.numpy() for k, v in tower.state_dict().items()
  } | head_tensors
  save_tree(tmp_path / 'both' / 'model.safetensors', with_head)
  save_tree(tmp_path / 'head.safetensors', head_tensors)
  for path, at in (('pair', 'head.safetensors'), ('both', 'both')):
    scores = REWARDS['aesthetic'].make(
      TEXTS, 0.0, path=str(tmp_path / path), head=str(tmp_path / at)
    )(PromptBatch.of_step(np.arange(4)), image_files)
    assert np.abs(scores.rewards - expected.numpy()).max() < 1e-5
    assert np.ptp(scores.rewards) > 1e-3
