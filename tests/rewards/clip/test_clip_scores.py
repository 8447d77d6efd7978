"""Rewards of a CLIP pair: what holds without transformers' own model.

That the numbers are right is in tests/parity.
"""

from functools import partial

import jax
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np
import pytest
import tiny_clip

from adrpo_jax.errors import InputError
from adrpo_jax.models.files import tokenizers
from adrpo_jax.rewards.clip import towers
from adrpo_jax.rewards.clip.folder import read_clip
from adrpo_jax.rewards.clip.scores import clip_score, pick_score
from adrpo_jax.types import PromptBatch


def test_a_sample_that_is_not_finite_costs_itself_alone(folder, images):
  reward = clip_score(tiny_clip.TEXTS, 0.0, path=folder)
  broken = images.copy()
  broken[1, 0, 3, 12, 2] = np.inf  # clipped: an image all the same
  broken[2, 1, 3, 12, 2] = np.nan
  ids = np.arange(4)
  whole, scores = (
    reward(PromptBatch.of_step(ids), images),
    reward(PromptBatch.of_step(ids), broken),
  )
  expected = np.ones((4, 2), bool)
  expected[2, 1] = False
  np.testing.assert_array_equal(scores.valid, expected)
  assert scores.rewards[2, 1] == 0
  expected[1, 0] = False  # another image
  np.testing.assert_allclose(
    scores.rewards[expected], whole.rewards[expected], atol=1e-5
  )
  for measure in scores.measures.values():
    assert np.isfinite(measure).all()
    assert measure[2, 0] == measure[2, 1] == 0  # no pair is left
    assert (measure[:2] > 0).all()


def test_rows_are_those_of_the_ids(folder, images):
  reward = clip_score(tiny_clip.TEXTS, 0.0, path=folder)
  order = np.array([3, 1, 0, 0])
  scores = reward(PromptBatch.of_step(order), images[[0, 0, 0, 0]])
  # A row of a product may be rounded by its place in the batch.
  near = partial(np.testing.assert_allclose, rtol=1e-5)
  near(scores.rewards[0], scores.rewards[1])  # owls
  near(scores.rewards[2], scores.rewards[3])
  assert np.abs(scores.rewards[0] - scores.rewards[2]).min() > 0.1
  beyond = reward(PromptBatch.of_step(np.array([0, 4, 1, 2])), images)
  np.testing.assert_array_equal(
    beyond.valid, [[True] * 2, [False] * 2, [True] * 2, [True] * 2]
  )


def test_scores_are_cosines_times_a_scale(folder, images):
  ids = PromptBatch.of_step(np.arange(4))
  hundred = clip_score(tiny_clip.TEXTS, 0.0, path=folder)(ids, images).rewards
  picked = pick_score(tiny_clip.TEXTS, 0.0, path=folder)(ids, images).rewards
  divided = pick_score(tiny_clip.TEXTS, 0.0, path=folder, divided_by=26.0)(
    ids, images
  )
  np.testing.assert_allclose(picked, tiny_clip.SCALE * hundred / 100, rtol=1e-5)
  np.testing.assert_allclose(divided.rewards, picked / 26, rtol=1e-5)
  assert np.abs(hundred).max() <= 100
  with pytest.raises(InputError, match='divided_by > 0, got 0'):
    pick_score(tiny_clip.TEXTS, 0.0, path=folder, divided_by=0.0)


def test_split_over_devices_equals_whole(folder, images):
  if jax.device_count() < 2:
    pytest.skip('needs two devices')
  mesh = jax.make_mesh(
    (2,),
    ('data',),
    devices=jax.devices()[:2],
    axis_types=(jax.sharding.AxisType.Auto,),
  )
  split = NamedSharding(mesh, PartitionSpec('data'))
  reward = clip_score(tiny_clip.TEXTS, 0.0, path=folder)
  ids = np.array([2, 0, 3, 1])
  whole = reward(PromptBatch.of_step(ids), images)
  parts = reward(
    PromptBatch.of_step(jax.device_put(ids, split)),
    jax.device_put(images, split),
  )
  assert parts.rewards.sharding.is_equivalent_to(split, 2)
  np.testing.assert_allclose(whole.rewards, parts.rewards, atol=1e-4)
  np.testing.assert_allclose(
    whole.measures['clip_diversity'],
    parts.measures['clip_diversity'],
    rtol=1e-5,
  )


def test_compiles_once_and_shares_its_tower(folder, images, monkeypatch):
  clip = read_clip(folder)
  tower = towers.vision_tower(clip)
  assert towers.vision_tower(read_clip(folder)) is tower
  placed = tower.params.on_devices_of(jax.numpy.asarray(images))
  traced = []
  apply = type(tower.model).__call__

  def counted(*arguments):
    traced.append(1)
    return apply(*arguments)

  monkeypatch.setattr(type(tower.model), '__call__', counted)
  reward = clip_score(tiny_clip.TEXTS, 0.0, path=folder)
  for shift in (0.0, 0.1):
    reward(PromptBatch.of_step(np.arange(4)), images + shift)
  assert len(traced) == 1
  assert tower.params.on_devices_of(jax.numpy.asarray(images)) is placed


def test_each_distinct_text_is_embedded_once(folder, monkeypatch):
  clip = read_clip(folder)
  tokenizer, read = tokenizers.load_tokenizer(clip.base), []

  def listening(texts, **options):
    read.append(texts)
    return tokenizer(texts, **options)

  monkeypatch.setattr(tokenizers, 'load_tokenizer', lambda folder: listening)
  embedded = towers.embed_texts(clip, tiny_clip.TEXTS, batch=2)
  assert read[-1] == list(tiny_clip.TEXTS[:3])
  assert embedded.shape == (4, tiny_clip.WIDTH)
  np.testing.assert_array_equal(embedded[1], embedded[3])
  alone = towers.embed_texts(clip, ['an owl'])
  np.testing.assert_allclose(embedded[1], alone[0], atol=1e-5)
  # What is beyond the tower's length is cut.
  longer = towers.embed_texts(clip, ['x' * 61])
  np.testing.assert_allclose(embedded[2], longer[0], atol=1e-5)
