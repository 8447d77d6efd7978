"""The shapes world: prompts state facts, scenes keep them, the judge sees."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.worlds import shapes, shapes_diversity, shapes_judge
from adrpo_jax.worlds import shapes_prompts as prompts

SAMPLES = 256


def _some(category, count=SAMPLES, split='held_out'):
  texts = [t for t, c in prompts.prompts(split) if c == category]
  rows = np.random.default_rng(0).integers(len(texts), size=count)
  return prompts.facts([texts[i] for i in rows])


_draw = jax.jit(shapes.draw)
_judge = jax.jit(shapes_judge.judge)


def test_a_prompt_states_its_facts():
  stated = prompts.facts(
    ['a red circle left of a blue square', 'three small green crosses']
  )
  np.testing.assert_array_equal(stated.objects, [2, 3])
  np.testing.assert_array_equal(stated.color[0], [0, 2, -1, -1])
  np.testing.assert_array_equal(stated.shape[1], [3, 3, 3, -1])
  np.testing.assert_array_equal(stated.size[1], [0, 0, 0, -1])
  np.testing.assert_array_equal(stated.relations[0, 0], [0, 0, 1])
  assert (stated.relations[1] == shapes.FREE).all()


def test_splits_share_no_combination():
  combine = prompts._combination
  train = {combine(text) for text, _ in prompts.prompts('train')}
  held_out = {combine(text) for text, _ in prompts.prompts('held_out')}
  assert not train & held_out
  assert {c for _, c in prompts.prompts('held_out')} == set(prompts.CATEGORIES)
  left = combine('a red circle left of a blue square')
  assert left == combine('a blue square right of a red circle')
  assert left != combine('a blue square left of a red circle')


def test_an_unknown_word_names_the_nearest():
  with pytest.raises(ValueError, match="Did you mean 'circle'"):
    prompts.tokenize(['a red cirle'])
  with pytest.raises(ValueError, match='Expected a prompt such as'):
    prompts.facts(['red circle'])
  np.testing.assert_array_equal(prompts.tokenize([''])[0], 0)


@pytest.mark.slow
@pytest.mark.parametrize('category', prompts.CATEGORIES)
def test_the_judge_is_right_about_rendered_truth(category):
  facts = _some(category)
  seen = _judge(_draw(facts, jax.random.key(1)), facts)
  assert seen['success'].mean() >= 0.995
  assert seen['fidelity'].min() > 0.999


@pytest.mark.slow
@pytest.mark.parametrize('category', prompts.CATEGORIES)
def test_the_judge_sees_every_corruption(category):
  facts = _some(category)
  wrong = prompts.corrupt(facts, np.random.default_rng(1))
  seen = _judge(_draw(wrong, jax.random.key(2)), facts)
  assert seen['success'].mean() == 0
  assert 0.4 < seen['reward'].mean() < 0.95


@pytest.mark.slow
def test_the_judge_degrades_gracefully_with_noise():
  facts = _some('binding')
  images = _draw(facts, jax.random.key(3))
  noise = jax.random.normal(jax.random.key(4), images.shape)
  levels = (0.0, 0.1, 0.4, 0.8, 1.6)
  seen = [_judge(images + level * noise, facts) for level in levels]
  reward = [float(s['reward'].mean()) for s in seen]
  fidelity = [float(s['fidelity'].mean()) for s in seen]
  assert reward[1] > 0.99
  assert all(a >= b - 1e-3 for a, b in itertools.pairwise(reward))
  assert all(a > b for a, b in itertools.pairwise(fidelity))


def test_a_blank_image_earns_nothing():
  facts = _some('single', 4)
  blank = jnp.broadcast_to(shapes.BACKGROUND, (4, shapes.SIDE, shapes.SIDE, 3))
  seen = _judge(blank, facts)
  np.testing.assert_array_equal(seen['reward'], 0)
  np.testing.assert_array_equal(seen['fidelity'], 0)


@pytest.mark.slow
def test_objects_keep_apart():
  scenes = jax.vmap(shapes.complete)(
    jax.tree.map(jnp.asarray, _some('counting')),
    jax.random.split(jax.random.key(5), SAMPLES),
  )
  side = np.array(shapes.PIXELS)[scenes.size]
  for i in range(shapes.SLOTS):
    for j in range(i):
      both = np.asarray(scenes.present[:, i] & scenes.present[:, j])
      gaps = [
        np.maximum(
          start[:, i] - start[:, j] - side[:, j],
          start[:, j] - start[:, i] - side[:, i],
        )
        for start in (np.asarray(scenes.top), np.asarray(scenes.left))
      ]
      assert (np.maximum(*gaps)[both] >= shapes.GAP).all()


@pytest.mark.slow
def test_spread_is_that_of_what_is_free():
  facts = _some('style', 8)
  truth = shapes_diversity.truth(facts, 4)
  spread, readable = jax.jit(shapes_diversity.spread)(truth, facts)
  assert readable.all()
  assert (spread > 0).all()
  same = jnp.broadcast_to(truth[:, :1], truth.shape)
  spread, _ = jax.jit(shapes_diversity.spread)(same, facts)
  np.testing.assert_allclose(spread, 0, atol=1e-6)


@pytest.mark.slow
def test_spread_by_hand():
  """Two samples, one object: places 10 pixels apart, sizes differ."""
  facts = prompts.facts(['a filled red square'])

  def scene(left, size):
    one = jnp.array([1, 0, 0, 0])
    return shapes.render(
      shapes.Scene(
        one > 0, one, 0 * one, size * one, 0 * one, 4 * one, left * one
      )
    )

  images = jnp.stack([scene(2, 0), scene(11, 1)])[None]  # centers 6 and 16
  spread, _ = shapes_diversity.spread(images, facts)
  far = np.hypot(10, 1) / 32 + 1
  np.testing.assert_allclose(spread, far, rtol=1e-5)
  nothing = jnp.broadcast_to(shapes.BACKGROUND, images[:, :1].shape)
  images = jnp.concatenate([images, images[:, :1], nothing], 1)
  of_samples = shapes_diversity.spread_of_samples(images, facts)
  np.testing.assert_allclose(
    of_samples, [[far / 2, far, far / 2, 0]], rtol=1e-5
  )
