"""A monitored reward that falls while the trained one rises, by hand."""

import math

import pytest

from adrpo_jax.stats.overoptimization import falls

ERROR = 0.01


def run(trained, gold, error=ERROR):
  return [
    {'step': step, 'reward': r, 'gold/reward': g, 'gold/reward_se': error}
    for step, (r, g) in enumerate(zip(trained, gold, strict=True))
  ]


def test_a_fall_from_the_peak_by_hand():
  (fall,) = falls(run([0.2, 0.5, 0.7], [0.30, 0.40, 0.35]), ['gold'])
  assert (fall.name, fall.step, fall.peak, fall.last) == ('gold', 1, 0.4, 0.35)
  assert (fall.trained_peak, fall.trained_last) == (0.5, 0.7)
  assert fall.error == pytest.approx(math.sqrt(2) * ERROR)


@pytest.mark.parametrize(
  ('trained', 'gold', 'why'),
  [
    ([0.2, 0.5, 0.7], [0.30, 0.35, 0.40], 'it rises'),
    ([0.2, 0.5, 0.7], [0.30, 0.40, 0.38], 'within 2·√2·0.01 of the peak'),
    ([0.2, 0.7, 0.5], [0.30, 0.40, 0.30], 'the trained reward falls too'),
    ([0.2, 0.5], [0.4, math.nan], 'no last value'),
    ([], [], 'no evaluation'),
  ],
)
def test_no_fall(trained, gold, why):
  assert falls(run(trained, gold), ['gold']) == [], why


def test_only_what_is_monitored_counts():
  evaluations = run([0.2, 0.5], [0.4, 0.3])
  assert falls(evaluations, []) == []
  assert falls(evaluations, ['another']) == []
  (fall,) = falls(evaluations, ['another', 'gold'])
  assert fall.name == 'gold'


def test_without_an_error_any_fall_counts():
  evaluations = [
    {'step': s, 'reward': r, 'gold/reward': g}
    for s, r, g in ((0, 0.1, 0.5), (5, 0.2, 0.4))
  ]
  (fall,) = falls(evaluations, ['gold'])
  assert (fall.step, fall.error) == (0, 0.0)
