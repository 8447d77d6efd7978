"""Diversity of embeddings, by hand."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.rewards.clip.diversity import (
  clip_diversity,
  cosine,
  euclidean,
  spread,
)

ALL = np.ones((1, 3), bool)


def test_a_triangle_of_sides_three_four_five():
  corners = jnp.array([[[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]])
  np.testing.assert_allclose(
    spread(corners, ALL, euclidean), [[(3 + 4) / 2, (3 + 5) / 2, (4 + 5) / 2]]
  )
  # Without the first corner one side of 5 is left.
  valid = np.array([[False, True, True]])
  np.testing.assert_allclose(spread(corners, valid, euclidean), [[0, 5, 5]])


def test_cosine_sees_directions_alone():
  """Angles of 90°, 180° and 90°, whatever the lengths."""
  embeddings = jnp.array([[[2.0, 0.0], [0.0, 9.0], [-0.5, 0.0]]])
  np.testing.assert_allclose(
    spread(embeddings, ALL, cosine), [[1.5, 1.0, 1.5]], rtol=1e-6
  )


@pytest.mark.parametrize('distance', [euclidean, cosine])
def test_equal_images_and_single_ones_have_none(distance):
  equal = jnp.tile(jnp.array([[[0.1, -7.3, 2.2]]]), (1, 4, 1))
  np.testing.assert_array_equal(
    spread(equal, np.ones((1, 4), bool), distance), np.zeros((1, 4))
  )
  single = spread(equal[:, :1], np.ones((1, 1), bool), distance)
  np.testing.assert_array_equal(single, [[0.0]])


def test_the_mean_over_samples_is_the_mean_over_pairs():
  rng = np.random.default_rng(0)
  embeddings = rng.normal(size=(2, 5, 7)).astype(np.float32)
  valid = np.array([[True] * 5, [True, False, True, True, False]])
  measured = clip_diversity(jnp.asarray(embeddings), jnp.asarray(valid))
  for row in range(2):
    pairs = list(itertools.combinations(embeddings[row, valid[row]], 2))
    by_hand = {
      'clip_diversity': [np.linalg.norm(a - b) for a, b in pairs],
      'clip_diversity_cosine': [
        1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs
      ],
    }
    for name, distances in by_hand.items():
      mean = np.asarray(measured[name])[row, valid[row]].mean()
      np.testing.assert_allclose(mean, np.mean(distances), rtol=1e-5)


def test_what_is_not_finite_takes_no_part():
  embeddings = jnp.array([[[0.0, 0.0], [jnp.nan, 0.0], [0.0, 4.0]]])
  valid = np.array([[True, False, True]])
  np.testing.assert_allclose(spread(embeddings, valid, euclidean), [[4, 0, 4]])
