"""How numbers are written, and differences taken."""

import math

import pytest

from adrpo_jax import measures
from adrpo_jax.measures import MEASURE


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    (measures.percent(0.6617, 0.0142), '66.2 ± 1.4 %'),
    (measures.percent(0.5), '50.0 %'),
    (measures.percent(None), '–'),
    (measures.percent(math.nan), '–'),
    (measures.plain(0.7123, 0.0061), '0.712 ± 0.006'),
    (measures.plain(0.03184), '0.0318'),
    (measures.plain(0.00031849, 0.00002), '0.000318 ± 0.000020'),
    (measures.plain(-1.5), '−1.500'),
    (measures.plain(0.0), '0.000'),
    (measures.plain(0.5, math.nan), '0.500'),
    (measures.plain_difference(-0.0147, 0.0124, 3), '−0.015 ± 0.012'),
    (measures.point_difference(0.2519, 0.0204), '+25.2 ± 2.0 pp'),
    (measures.point_difference(-0.031), '−3.1 pp'),
  ],
)
def test_numbers_are_written_with_their_errors(text, expected):
  assert text == expected


def test_levels_beside_each_other_share_their_decimals():
  assert MEASURE['divergence'].places(0.0, 0.0318) == 4
  assert MEASURE['reward'].places(0.73, 0.84) == 3
  assert MEASURE['success'].places(0.001, 0.5) == 1


def test_difference_adds_errors_in_quadrature():
  base = {'success': 0.40, 'success_se': 0.03}
  final = {'success': 0.65, 'success_se': 0.04}
  change, error = measures.difference(base, final, 'success')
  assert change == pytest.approx(0.25)
  assert error == pytest.approx(0.05)


def test_difference_is_unknown_where_either_side_is():
  assert measures.difference({}, {'reward': 1.0}, 'reward') == (None, None)
  got = measures.difference({'reward': 0.5}, {'reward': 1.0}, 'reward')
  assert got == (0.5, None)


def test_ratio_refuses_a_base_of_zero():
  assert measures.ratio({'d': 0.8}, {'d': 0.6}, 'd') == pytest.approx(0.75)
  assert measures.ratio({'d': 0.0}, {'d': 0.6}, 'd') is None


def test_every_method_of_the_table_has_a_title():
  from adrpo_jax.method.methods import METHODS

  assert set(METHODS) <= set(measures.METHOD_TITLES)
  assert measures.method_title('my_method') == 'my_method'
