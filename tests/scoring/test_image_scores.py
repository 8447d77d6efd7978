"""Figures of a folder of images, by hand."""

import json

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from adrpo_jax import sharding
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.rewards.image_table import make_reward
from adrpo_jax.scoring import image_folder, image_scores
from adrpo_jax.stats import prompt_means
from adrpo_jax.types import Scores

# Gray of the two images of each prompt, in levels.
GREYS = [[0, 20], [40, 60], [100, 140], [255, 255], [10, 30]]
CATEGORIES = ('dark', 'dark', 'light', 'light', 'dark')
TEXTS = tuple(f'prompt {i}' for i in range(5))


@pytest.fixture
def folder(tmp_path):
  for i, row in enumerate(GREYS):
    for j, gray in enumerate(row):
      Image.new('RGB', (8, 8), (gray,) * 3).save(tmp_path / f'{i}_{j}.png')
  return image_folder.find_images(str(tmp_path), PromptSet(TEXTS, CATEGORIES))


def gray(prompts, images):
  """Levels; full white cannot be judged. A measure: the id of the prompt."""
  levels = images.astype(jnp.float32).mean((2, 3, 4))
  ids = jnp.broadcast_to(jnp.asarray(prompts.ids)[:, None], levels.shape)
  valid = levels < 255
  return Scores(
    jnp.where(valid, levels, 0), valid, {'ids': ids.astype(jnp.float32)}
  )


@pytest.mark.parametrize('batch', [1, 2, 5, 8])
def test_figures_by_hand(batch, folder):
  """Prompt means 10, 50, 120, 20: batches and their filling change nothing."""
  figures = image_scores.score(folder, {'gray': gray}, batch=batch)
  assert list(figures) == ['gray', 'gray/ids']
  known = np.array([10.0, 50.0, 120.0, 20.0])
  assert figures['gray'].mean == pytest.approx(known.mean())
  assert figures['gray'].error == pytest.approx(known.std(ddof=1) / 2)
  assert figures['gray'].invalid == pytest.approx(0.2)
  assert figures['gray'].by_category == pytest.approx(
    {'dark': 80 / 3, 'light': 120}
  )
  assert figures['gray/ids'].mean == pytest.approx((0 + 1 + 2 + 4) / 4)


def test_rewards_of_the_table_and_a_mesh(folder):
  if jax.device_count() < 2:
    pytest.skip('needs two devices')
  mesh = sharding.make_mesh(devices=jax.devices()[:2])
  split = sharding.batch_sharding(mesh)
  rewards = {
    name: make_reward({name: 1.0}, TEXTS) for name in ('jpeg_compressibility',)
  }
  whole = image_scores.score(folder, rewards, batch=2)
  parts = image_scores.score(
    folder,
    rewards,
    batch=2,
    place=lambda rows: sharding.put_tree(
      rows, jax.tree.map(lambda _: split, rows)
    ),
    gather=jax.jit(lambda tree: tree, out_shardings=sharding.replicated(mesh)),
  )
  assert whole == parts
  assert whole['jpeg_compressibility'].mean < -0.1  # kB


def test_facts_reach_rewards_of_a_world(folder):
  def told(prompts, images):
    value = jnp.broadcast_to(prompts.facts['n'][:, None], images.shape[:2])
    return Scores(value, jnp.ones_like(value, bool), {})

  figures = image_scores.score(
    folder,
    {'told': told},
    batch=2,
    facts=lambda texts: {'n': np.array([float(t[-1]) for t in texts])},
  )
  assert figures['told'].by_category == {'dark': 5 / 3, 'light': 2.5}


def test_written_for_the_eye_and_for_a_file(folder):
  figures = image_scores.score(folder, {'gray': gray, 'again': gray}, batch=5)
  assert list(figures) == ['gray', 'gray/ids', 'again', 'again/ids']
  lines = image_scores.as_text(figures).splitlines()
  assert lines[0].split() == ['gray', '50.000', '±', '24.833']
  assert lines[1].split() == ['not', 'judged', '20.0%']
  assert lines[2].split() == ['dark', '26.667']
  record = json.loads(json.dumps(image_scores.as_record(folder, figures)))
  assert record['prompts'] == 5
  assert record['samples'] == 10
  assert record['figures']['gray']['by_category']['light'] == 120


def test_prompts_without_categories(folder):
  plain = folder._replace(prompts=PromptSet(TEXTS, ('',) * 5))
  figures = image_scores.score(plain, {'gray': gray}, batch=5)
  assert figures['gray'].by_category == {}
  assert len(image_scores.as_text(figures).splitlines()) == 4


def test_means_over_prompts():
  values = np.array([[1.0, np.nan, 3.0], [np.nan] * 3, [5.0, 5.0, 8.0]])
  per_prompt = prompt_means.over_group(values, np.isfinite(values))
  np.testing.assert_array_equal(per_prompt, [2, np.nan, 6])
  assert prompt_means.mean_and_error(per_prompt) == (4.0, 2.0)
  assert prompt_means.mean_and_error(np.array([np.nan, 3.0])) == (3.0, 0.0)
  assert np.isnan(prompt_means.mean_and_error(np.array([np.nan]))[0])
