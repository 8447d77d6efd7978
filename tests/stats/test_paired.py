"""Two models on the same items: by hand, and in closed form."""

import math

import numpy as np
import pytest

from adrpo_jax.stats.number_format import p_value
from adrpo_jax.stats.paired import bootstrap, paired, sign_test


@pytest.mark.parametrize(
  ('better', 'worse', 'p'),
  [
    (0, 0, 1),
    (1, 0, 1),
    (5, 0, 2 / 32),
    (0, 5, 2 / 32),
    (1, 5, 2 * (1 + 6) / 64),
    (3, 3, 1),
    (8, 2, 2 * (1 + 10 + 45) / 1024),
  ],
)
def test_exact_p_by_hand(better, worse, p):
  assert sign_test(better, worse) == pytest.approx(p, abs=1e-15)


@pytest.mark.parametrize(
  ('differ', 'p'),
  [(60, 0.03), (84, 0.06), (100, 0.09), (150, 0.17), (200, 0.23)],
)
def test_eighteen_items_of_a_thousand(differ, p):
  """1.8 points are 18 items: what that says hangs on how many differ."""
  better = (differ + 18) // 2
  assert sign_test(better, differ - better) == pytest.approx(p, abs=0.006)


def test_large_counts_stay_numbers():
  assert 0 < sign_test(2000, 2300) < 1e-4
  assert sign_test(5000, 5000) == 1


def test_two_models_by_hand():
  first = np.array([1, 1, 1, 0, 0, 1, np.nan])
  second = np.array([1, 0, 0, 1, 0, 0, 1])
  pair = paired(first, second)
  assert pair[:4] == (6, 4 / 6, 2 / 6, pytest.approx(2 / 6))
  assert (pair.better, pair.worse) == (3, 1)
  assert pair.p == 2 * (1 + 4) / 16
  assert pair.low < pair.difference < pair.high
  back = paired(second, first)
  assert back.difference == -pair.difference
  assert (back.better, back.worse, back.p) == (1, 3, pair.p)
  assert paired(np.array([np.nan]), np.array([1.0])) is None
  with pytest.raises(ValueError, match='same items'):
    paired(first, second[:-1])


def test_seeds_share_items():
  """Three seeds of one item are one item, by their mean."""
  first = np.array([[1, 0, 1, 1], [1, 0, 0, 1], [1, 0, 1, 0]])
  second = np.array([[1, 1, 0, 0]])
  pair = paired(first, second)
  assert pair.items == 4
  assert pair.first == pytest.approx((1 + 0 + 2 / 3 + 2 / 3) / 4)
  assert (pair.better, pair.worse) == (2, 1)
  thirds = np.array([[1.0], [1.0], [0.0]]) / 3
  assert paired(thirds, np.array([[2 / 9]])).better == 0  # equal but for bits


def test_the_interval_is_that_of_the_mean():
  values = np.random.default_rng(1).normal(size=400)
  low, high = bootstrap(values)
  error = values.std() / math.sqrt(400)
  assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.05)
  assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.1 * error)
  assert bootstrap(values) == (low, high)
  assert bootstrap(np.full(5, 0.25)) == (0.25, 0.25)


def test_p_values_have_two_digits():
  assert [p_value(p) for p in (0.0001, 0.0339, 0.5)] == [
    *('< 0.001', '0.034', '0.50')
  ]
