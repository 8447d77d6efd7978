"""How numbers are written, and differences taken."""

import math

import pytest

from adrpo_jax.stats import measures, number_format
from adrpo_jax.stats.measures import FLOW, LANGUAGE


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    (number_format.percent(0.6617, 0.0142), '66.2 ± 1.4 %'),
    (number_format.percent(0.5), '50.0 %'),
    (number_format.percent(None), '–'),
    (number_format.percent(math.nan), '–'),
    (number_format.percent([0.5]), '–'),  # of a damaged record
    (number_format.decimal('0.5'), '–'),
    (number_format.decimal(0.7123, 0.0061), '0.712 ± 0.006'),
    (number_format.decimal(0.03184), '0.0318'),
    (number_format.decimal(0.00031849, 0.00002), '0.000318 ± 0.000020'),
    (number_format.decimal(-1.5), '−1.500'),
    (number_format.decimal(0.0), '0.000'),
    (number_format.decimal(0.5, math.nan), '0.500'),
    (number_format.decimal_difference(-0.0147, 0.0124, 3), '−0.015 ± 0.012'),
    (number_format.point_difference(0.2519, 0.0204), '+25.2 ± 2.0 pp'),
    (number_format.point_difference(-0.031), '−3.1 pp'),
  ],
)
def test_numbers_are_written_with_their_errors(text, expected):
  assert text == expected


def test_levels_beside_each_other_share_their_decimals():
  assert FLOW['divergence'].places(0.0, 0.0318) == 4
  assert FLOW['reward'].places(0.73, 0.84) == 3
  assert FLOW['success'].places(0.001, 0.5) == 1
  assert LANGUAGE['length'].places(31.0, 0.01) == 1


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


def test_a_divergence_is_named_for_what_it_is():
  assert FLOW['divergence'].head == 'W2'
  assert FLOW['divergence'].label == 'divergence from the base (W2)'
  assert LANGUAGE['divergence'].head == 'KL'
  assert LANGUAGE['divergence'].label == 'KL to the base (nats per token)'
  assert (LANGUAGE['length'].label, LANGUAGE['length'].head) == (
    'answer length', 'Answer length',
  )  # fmt: skip


def test_measures_of_further_guidance_scales_follow_the_others():
  base = {'reward': 0.1, 'reward_se': 0.1}
  final = {'reward_guidance_4.5': 0.5, 'reward_guidance_4.5_se': 0.1}
  final |= {'by_category_guidance_4.5': {}, 'success_guidance_4.5': 0.5}
  got = measures.with_guided(FLOW, base, final)
  added = ['reward_guidance_4.5', 'success_guidance_4.5']
  assert list(got) == [*FLOW, *added]
  assert got['reward_guidance_4.5'].title == 'Reward at guidance 4.5'
  assert got['success_guidance_4.5'].share
  assert measures.guided_keys(got, 'success') == added[1:]
  assert measures.with_guided(FLOW, base) == FLOW
