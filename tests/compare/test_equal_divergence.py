"""Methods at equal divergence, by hand, and the share of seeds that escapes."""

import csv
import io
import json

from html_pages import assert_stands_alone, text_of
import made_texts
import numpy as np
import pytest
import synthetic_texts

from adrpo_jax.compare.divergence_tables import (
  level_lead,
  level_tables,
  level_text,
  missing_methods,
)
from adrpo_jax.compare.equal_divergence import (
  RunCurve,
  mean_over_divergence,
  round_levels,
  shared_levels,
  training_curve,
  values_at,
)
from adrpo_jax.compare.report import write_comparison
from adrpo_jax.compare.results import read_comparison
from adrpo_jax.compare.table import as_csv, as_json, as_markdown
from adrpo_jax.report.run_record import read_run
from adrpo_jax.worlds import TEXT_WORLDS, sort_or_pass


def curve(far, reward):
  values = {'divergence': np.array(far), 'reward': np.array(reward)}
  return RunCurve(np.arange(len(far)), values)


def read(workdir, **methods):
  """The comparison of runs given by method, each as lines of steps."""
  for method, runs in methods.items():
    for seed, steps in enumerate(runs):
      folder = workdir / method / f'seed_{seed}'
      made_texts.write_run(folder, steps=steps)
  return read_comparison(workdir)


def test_steps_are_smoothed_but_for_the_first(tmp_path):
  far = [0.0, 0.3, 0.6, 0.9, 1.5, 1.2] + 35 * [1.0]  # a window of five
  lines = [
    {'divergence': d, 'reward': 0.5, 'diversity_distinct': 0.9} for d in far
  ]
  made_texts.write_run(tmp_path, steps=lines)
  got = training_curve(read_run(tmp_path)).values['divergence']
  np.testing.assert_allclose(got[:5], [0.0, 0.3, 0.66, 0.9, 1.04])
  np.testing.assert_allclose(got[8:], 1.0)


def test_a_level_is_read_where_it_is_first_reached():
  there = curve([0.0, 0.1, 0.3, 0.2, 0.5], [0.0, 1.0, 3.0, 2.0, 5.0])
  got = values_at(there, [0.0, 0.2, 0.3, 0.4, 0.6], 'reward')
  np.testing.assert_allclose(got, [0.0, 2.0, 3.0, 4.0, np.nan])


def test_a_curve_that_starts_beyond_a_level_has_no_value_there():
  got = values_at(curve([0.1, 0.2], [5.0, 7.0]), [0.05, 0.1], 'reward')
  np.testing.assert_allclose(got, [np.nan, 5.0])


def test_levels_are_one_two_and_five_of_each_decade():
  assert round_levels(0.003, 0.06) == [0.005, 0.01, 0.02, 0.05]
  assert round_levels(0.005, 0.02) == [0.01, 0.02]
  assert round_levels(0.0, 1000.0)[-3:] == [200.0, 500.0, 1000.0]
  assert round_levels(0.3, 0.4) == []
  assert round_levels(0.0, 0.0) == []
  assert [level_text(v) for v in (0.0005, 0.1, 20.0)] == ['0.0005', '0.1', '20']


def test_levels_are_what_all_methods_reach_and_what_half_of_them_do():
  curves = {
    'far_with_half_its_seeds': [
      curve([0, 0.06], [0, 0]),
      curve([0, 0.3], [0, 0]),
    ],
    'near': [curve([0, 0.012], [0, 0])],
    'far': [curve([0, 0.25], [0, 0])],
  }
  assert shared_levels(curves) == (0.002, 0.005, 0.01, 0.1, 0.2)
  del curves['near']
  assert shared_levels(curves) == (0.05, 0.1, 0.2)
  curves['far'] = [curve([0.06, 0.25], [0, 0])]
  assert shared_levels(curves) == (0.1, 0.2)
  assert shared_levels({}) == ()


def test_rewards_and_entropies_at_equal_divergence_by_hand(tmp_path):
  comparison = read(
    tmp_path,
    adrpo=[
      made_texts.steps(reward=0.01, entropy=-0.01),
      made_texts.steps(reward=0.02, entropy=-0.03),
    ],
    grpo=[made_texts.steps(reward=0.02, entropy=-0.04, far=0.002)],
  )
  (at,) = comparison.at_divergence
  # The last of 41 points is a mean of three, 0.039 and 0.078.
  assert at.levels == (0.005, 0.01, 0.02, 0.05)[-len(at.levels) :]
  first = at.levels.index(0.02)
  adrpo, grpo = (at.values['reward'][m][first] for m in ('adrpo', 'grpo'))
  assert adrpo.values == pytest.approx((0.2, 0.4))
  assert adrpo.mean == pytest.approx(0.3)
  assert adrpo.error == pytest.approx(0.1)
  assert (grpo.mean, grpo.error) == (pytest.approx(0.2), None)
  assert at.values['entropy']['adrpo'][first].mean == pytest.approx(1.6)
  assert at.values['entropy']['grpo'][first].mean == pytest.approx(1.6)


def test_tables_say_how_many_seeds_get_there(tmp_path):
  comparison = read(
    tmp_path,
    adrpo=[
      made_texts.steps(reward=0.01),
      made_texts.steps(reward=0.01, far=0.0002),
    ],
    grpo=[made_texts.steps(reward=0.005)],
    dpo=[made_texts.steps(reward=0.0, drawn=False)],
  )
  (at,) = comparison.at_divergence
  assert at.levels == (0.005, 0.01, 0.02)
  table = level_tables(comparison, at)['reward']
  assert table.head == ['Reward at KL of', '0.005', '0.01', '0.02']
  assert table.rows == [
    ['ADRPO', '0.150 ± 0.100', '0.100 (1 of 2)', '0.200 (1 of 2)'],
    ['DPO', '–', '–', '–'],
    ['GRPO', '0.025', '0.050', '0.100'],
  ]
  assert '0.005, 0.01, 0.02' in level_lead(comparison, at)
  assert missing_methods(comparison, at) == [
    'DPO is left out: it logged no step with samples of its own policy.'
  ]


def test_markdown_csv_and_json_hold_the_levels(tmp_path):
  comparison = read(
    tmp_path,
    adrpo=[made_texts.steps(reward=0.01), made_texts.steps(reward=0.02)],
    grpo=[made_texts.steps(reward=0.005)],
  )
  assert '| ADRPO | 0.075 ± 0.025 | 0.150 ± 0.050 | 0.300 ± 0.100 |' in (
    as_markdown(comparison).splitlines()
  )
  table = csv.DictReader(io.StringIO(as_csv(comparison)))
  by_method = {line['method']: line for line in table}
  name = 'training_reward_at_0.02'
  assert float(by_method['adrpo'][name]) == pytest.approx(0.3)
  assert float(by_method['adrpo'][f'{name}_se']) == pytest.approx(0.1)
  assert by_method['adrpo'][f'{name}_seeds'] == '2'
  assert by_method['base'][name] == ''
  (at,) = json.loads(as_json(comparison))['at_divergence']
  assert at['source'] == 'training'
  assert at['levels'] == [0.005, 0.01, 0.02]
  assert at['values']['reward']['adrpo'][2]['values'] == pytest.approx(
    [0.2, 0.4]
  )


def test_evaluations_are_read_where_there_are_four(tmp_path):
  line = {'success': 0.5, 'entropy': 1.0}
  evaluations = [
    line | {'divergence': d, 'reward': r}
    for d, r in ((0.01, 0.3), (0.03, 0.5), (0.02, 0.6))
  ]
  made_texts.write_run(tmp_path / 'adrpo' / 'seed_0', evaluations=evaluations)
  (at,) = read_comparison(tmp_path).at_divergence
  assert at.source == 'held_out'
  assert at.levels == (0.005, 0.01, 0.02)
  got = [value.mean for value in at.values['reward']['adrpo']]
  assert got == pytest.approx([0.25, 0.3, 0.4])  # the base has 0.2
  few = tmp_path / 'few'
  made_texts.write_run(few / 'adrpo' / 'seed_0', evaluations=evaluations[1:])
  assert read_comparison(few).at_divergence == ()


def test_flows_are_compared_at_equal_w2(tmp_path):
  made_texts.write_run(
    tmp_path / 'adrpo' / 'seed_0',
    steps=made_texts.steps(reward=0.01),
    modality='flow',
  )
  comparison = read_comparison(tmp_path)
  (at,) = comparison.at_divergence
  tables = level_tables(comparison, at)
  assert list(tables) == ['reward']
  assert tables['reward'].head[0] == 'Reward at W2 of'
  assert 'Entropy' not in as_markdown(comparison)


def test_a_curve_goes_as_far_as_all_seeds_of_a_method():
  curves = [curve([0.0, 0.04], [0.0, 4.0]), curve([0.01, 0.09], [1.0, 17.0])]
  x, estimates = mean_over_divergence(curves, 'reward')
  assert (x[0], x[-1]) == (0.01, 0.04)
  assert estimates[0].values == pytest.approx((1.0, 1.0))
  assert estimates[-1].values == pytest.approx((4.0, 7.0))
  np.testing.assert_allclose(np.diff(np.sqrt(x)), 0.1 / (len(x) - 1))
  apart = [curve([0.0, 0.01], [0, 0]), curve([0.02, 0.03], [0, 0])]
  assert len(mean_over_divergence(apart, 'reward')[0]) == 0


@pytest.fixture
def tempted(tmp_path):
  """Three seeds of a method that end in or out of a local optimum."""
  for seed, success in enumerate((0.6, 0.0, 0.9)):
    made_texts.write_run(
      tmp_path / 'adrpo' / f'seed_{seed}',
      steps=made_texts.steps(reward=0.01),
      final={'success': success, 'passed': float(success == 0)},
      world='sort_or_pass',
    )
  return tmp_path


def test_the_share_of_seeds_that_escapes_is_in_the_table(tempted):
  comparison = read_comparison(tempted)
  (row,) = comparison.methods
  assert row.measures['escaped'].values == (1.0, 0.0, 1.0)
  assert row.mean('escaped') == pytest.approx(2 / 3)
  lines = as_markdown(comparison).splitlines()
  heads = lines[0].split(' | ')
  place = heads.index('Escaped')
  assert lines[2].split(' | ')[place] == '–'
  assert lines[3].split(' | ')[place] == '2 of 3'
  assert 'with a success above 50 % at the end' in as_markdown(comparison)


def test_nobody_escapes_where_no_way_out_was_judged(tmp_path):
  for world, final in (('sort', {'passed': 0.0}), ('sort_or_pass', {})):
    made_texts.write_run(
      tmp_path / world / 'adrpo' / 'seed_0',
      final={'success': 0.9} | final,
      world=world,
    )
    comparison = read_comparison(tmp_path / world)
    assert comparison.escape is None
    assert 'escaped' not in comparison.methods[0].measures
    assert 'Escaped' not in as_markdown(comparison)


def test_who_always_passes_has_not_escaped():
  escape = TEXT_WORLDS['sort_or_pass'].escape
  for text, _ in sort_or_pass.prompts('held_out')[:20]:
    passing = sort_or_pass.judge(text, sort_or_pass.PASS)
    assert passing[escape.fact] == 1
    assert passing['success'] < escape.success
    working = sort_or_pass.judge(text, sort_or_pass.answer(text))
    assert working['success'] > escape.success


def test_runs_of_different_lengths_are_pointed_out(tmp_path):
  comparison = read(
    tmp_path,
    adrpo=[made_texts.steps(reward=0.01)],
    grpo=[made_texts.steps(reward=0.01, count=21)],
  )
  note = (
    'The runs differ in steps, prompts per step or samples per prompt, so the '
    'table does not compare them at equal numbers of samples.'
  )
  assert note in comparison.notes


def test_the_page_of_texts_shows_methods_at_equal_divergence(tmp_path):
  for method in ('adrpo', 'grpo'):
    synthetic_texts.write_run(
      tmp_path / method / 'seed_0', method=method, steps=30
    )
  page = write_comparison(tmp_path)
  assert_stands_alone(page)
  text = text_of(page)
  for line in (
    'At equal KL, during training',
    'At equal KL, on held-out prompts',
    'Reward over KL',
    'Entropy over KL',
    'Reward over training',
    'Entropy over training',
  ):
    assert line in text
  assert 'Entropy at KL of 0.01 0.02 0.05' in text
