"""A reward without a measure of success is a score: no share is made of it."""

from html_pages import assert_stands_alone, text_of
import numpy as np
import pytest
import scored_runs

from adrpo_jax.evaluate import evaluation_figures
from adrpo_jax.report import cards, headline, page
from adrpo_jax.report.cards import Column
from adrpo_jax.report.run_record import read_run
from adrpo_jax.report.summary import as_text
from adrpo_jax.report.write import write_report
from adrpo_jax.samples import image_file
from adrpo_jax.stats.measures import FLOW, goal
from adrpo_jax.types import Scores

REWARDS = np.array([[30.0, 34.0], [20.0, 40.0]])
GROUPS = {'diversity': np.ones(2)}


@pytest.fixture(scope='module')
def scored(tmp_path_factory):
  """A finished run under a score, without its report."""
  workdir = tmp_path_factory.mktemp('runs') / 'scored'
  scored_runs.write_run(workdir, steps=20)
  return workdir


def test_figures_have_a_success_only_where_it_is_measured():
  valid = np.ones((2, 2), bool)
  score = evaluation_figures(Scores(REWARDS, valid, {}), GROUPS, ['x', 'y'])
  assert score['reward'] == 31.0
  assert score['by_category'] == {'x': 32.0, 'y': 30.0}
  assert 'success' not in score
  measures = {'success': np.array([[1.0, 0.0], [0.0, 0.0]])}
  judged = Scores(REWARDS, valid, measures)
  judged = evaluation_figures(judged, GROUPS, ['x', 'y'])
  assert judged['success'] == 0.25
  assert judged['by_category'] == {'x': 0.5, 'y': 0.0}
  assert judged['reward'] == 31.0


def test_a_goal_is_the_success_or_else_the_reward():
  score, share = {'reward': 31.0}, {'reward': 0.7, 'success': 0.4}
  assert goal(FLOW, {}, score).key == 'reward'
  assert goal(FLOW, {}, share).key == 'success'
  assert goal(FLOW, share, score).key == 'reward'
  assert goal(FLOW, {}).key == 'success'


def test_the_summary_of_a_score_has_no_share():
  base = {'reward': 31.25, 'reward_se': 0.5}
  final = {'reward': 33.5, 'reward_se': 0.25}
  text = as_text({'base': base, 'final': final})
  assert text.split() == ['reward', '31.250', '→', '33.500', '(±', '0.250)']


def test_the_verdict_on_a_score_has_its_units(scored):
  run = read_run(scored)
  assert run.goal.key == 'reward'
  line = headline.verdict(run)
  before, after = run.base['reward'], run.final['reward']
  assert f'Reward on held-out prompts rose from {before:.3f}' in line
  assert f'to *{after:.3f}* (*+{after - before:.3f} ± ' in line
  assert '%' not in line


def test_samples_of_a_score_are_neither_right_nor_wrong(scored, tmp_path):
  run = read_run(scored)
  base, tuned = run.base_samples, run.tuned_samples
  assert base.success is None
  assert cards.succeeds(base, (0, 0)) is None
  assert page.mark(None) == ''
  columns = [Column('Base', base), Column('Tuned', tuned)]
  means = (float(c.samples.rewards[0].mean()) for c in columns)
  expected = 'mean reward: base {:.3f}, tuned {:.3f}'.format(*means)
  assert cards.tally(columns, 0) == expected
  image_file.write(tmp_path / 'again.npz', base)
  assert image_file.read(tmp_path / 'again.npz').success is None


def test_the_page_of_a_score(scored):
  report = write_report(scored)
  assert_stands_alone(report)
  text = text_of(report)
  content = report.read_text()
  run = read_run(scored)
  assert '✓' not in text
  assert '✗' not in text
  assert 'ceiling' not in text
  assert 'passes: ' not in content
  assert 'class="bullet"' not in content
  assert 'Success' not in text
  assert 'Reward by category The mean, on the held-out prompts' in text
  assert 'single · mean reward: base ' in text
  assert f'reward {run.base_samples.rewards[0, 0]:.3f}' in text
  kept = run.final['diversity'] / run.base['diversity']
  assert f'Diversity kept {kept:.3f} ' in text
  result = text.split('Result')[1].split('Base and tuned, from')[0]
  assert '%' not in result
