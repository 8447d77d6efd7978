"""summary.json by hand."""

import pytest

from adrpo_jax.report.summary import as_text, make_summary, predicted_ceiling


def line(rollout, beta_min, beta_max, beta_negative):
  return {
    'seconds_rollout': rollout,
    'seconds_reward': 0.5,
    'seconds_update': 0.25,
    'beta_mean': (beta_min + beta_max) / 2,
    'beta_min': beta_min,
    'beta_max': beta_max,
    'beta_negative': beta_negative,
  }


def test_figures_are_those_of_all_steps():
  base, final = {'success': 0.25}, {'success': 0.5}
  summary = make_summary(
    [line(1.25, -1.0, 3.0, 0.5), line(3.25, 0.0, 2.0, 0.0)],
    base,
    final,
    samples_per_step=12,
    method='adrpo',
    steps=2,
  )
  assert summary == {
    'method': 'adrpo',
    'steps': 2,
    'seconds': 6.0,
    'base': base,
    'final': final,
    'beta': {'mean': 1.0, 'min': -1.0, 'max': 3.0, 'fraction_negative': 0.25},
    'throughput': {'samples_per_second': 4.0},
  }


def test_the_ceiling_is_the_law_of_two_modes():
  # Right samples have reward 1, wrong ones 0.6: d = 0.4 and p₀ = 0.5.
  base = {'success': 0.5, 'reward': 0.8}
  assert predicted_ceiling(1.0, base) == pytest.approx(0.5 + 0.4 * 0.25)
  assert predicted_ceiling(0.1, base) == 1.0  # no more than all
  assert predicted_ceiling(1.0, {'success': 1.0, 'reward': 1.0}) == 1.0


def test_the_text_has_a_line_for_each_figure_that_there_is():
  base = {'reward': 0.2, 'divergence': 0.0}
  final = {'reward': 0.4, 'reward_se': 0.05}
  final |= {'divergence': 0.1, 'divergence_se': 0.01}
  assert as_text({'base': base, 'final': final}).splitlines() == [
    '    reward  0.200 → 0.400  (± 0.050)',
    'divergence  0.000 → 0.100  (± 0.010)',
  ]


def test_the_text_has_lines_for_further_guidance_scales():
  base = {'reward': 0.2, 'reward_guidance_4.5': 0.5, 'facts_guidance_4.5': 1}
  final = base | {'reward_se': 0.05, 'reward_guidance_4.5_se': 0.06}
  assert as_text({'base': base, 'final': final}).splitlines() == [
    '             reward  0.200 → 0.200  (± 0.050)',
    'reward_guidance_4.5  0.500 → 0.500  (± 0.060)',
  ]
