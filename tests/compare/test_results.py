"""The comparison: statistics by hand, the table in three forms, the page."""

import csv
import io
import json
import math

from html_pages import assert_stands_alone, text_of
import made_texts
from PIL import Image
import pytest
import scored_runs
import synthetic_runs

from adrpo_jax.compare.report import write_comparison
from adrpo_jax.compare.results import pareto_front, read_comparison
from adrpo_jax.compare.table import as_markdown, table_rows
from adrpo_jax.errors import InputError
from adrpo_jax.stats.estimates import estimate


def test_error_is_that_of_the_mean_over_seeds():
  got = estimate([0.5, 0.7, 0.6], [0.01, 0.01, 0.01])
  assert got.mean == pytest.approx(0.6)
  assert got.error == pytest.approx(0.1 / math.sqrt(3))
  assert got.values == (0.5, 0.7, 0.6)


def test_one_seed_has_the_error_of_its_evaluation():
  assert estimate([0.5], [0.02]).error == 0.02
  assert estimate([0.5]).error is None
  assert estimate([None, float('nan')]) is None
  assert estimate([0.5, None], [None, 0.03]).mean == 0.5


def test_pareto_front_by_hand():
  points = [(0.4, 0.9), (0.6, 0.8), (0.5, 0.7), (0.7, 0.5), (0.6, 0.8)]
  got = pareto_front(points, more_is_better=(True, True))
  assert got == [True, True, False, True, True]
  got = pareto_front(points, more_is_better=(True, False))
  assert got == [False, False, False, True, False]


def test_means_are_those_of_the_summaries(compared):
  finals = [
    json.loads((compared / 'adrpo' / f'seed_{k}' / 'summary.json').read_text())
    for k in (0, 1)
  ]
  one, two = (summary['final']['success'] for summary in finals)
  row = read_comparison(compared).methods[0]
  assert row.method == 'adrpo'
  assert row.seeds == (0, 1)
  assert one != two
  assert row.measures['success'].mean == pytest.approx((one + two) / 2)
  assert row.measures['success'].error == pytest.approx(abs(one - two) / 2)
  base = finals[0]['base']['success']
  assert row.mean('success_gain') == pytest.approx((one + two) / 2 - base)
  assert row.predicted_ceiling == pytest.approx(0.71)


def retitled(workdir, **fields):
  """Writes fields into the summary of a run, and a variant into its config."""
  summary = workdir / 'summary.json'
  summary.write_text(json.dumps(json.loads(summary.read_text()) | fields))
  path = workdir / 'config.json'
  config = json.loads(path.read_text())
  config['config']['compare'] = {'bare': {'title': 'ADRPO, bare'}}
  path.write_text(json.dumps(config))


def test_titles_are_recorded_or_those_of_the_table(tmp_path):
  """A run records its own; a variant has that of config.compare."""
  for name in ('adrpo', 'raft', 'bare', 'other'):
    method = name if name in ('adrpo', 'raft') else 'adrpo'
    workdir = tmp_path / name / 'seed_0'
    synthetic_runs.write_run(workdir, method=method, steps=20)
    retitled(workdir, **({'title': 'My RAFT'} if name == 'raft' else {}))
  got = read_comparison(tmp_path)
  assert got.titles == {
    'adrpo': 'ADRPO',
    'raft': 'My RAFT',
    'bare': 'ADRPO, bare',
    'other': 'other',
  }
  assert got.base.title == 'Base'


def test_fronts_include_the_base(compared):
  comparison = read_comparison(compared)
  assert comparison.base.on_front == {'diversity': True, 'divergence': True}
  fronts = {row.method: row.on_front for row in comparison.methods}
  assert fronts == {
    'adrpo': {'diversity': True, 'divergence': True},
    'orw_cfm_w2': {'diversity': True, 'divergence': True},
    'raft': {'diversity': False, 'divergence': False},
  }


def test_the_base_has_the_error_of_one_evaluation(compared):
  base = read_comparison(compared).base
  assert base.measures['success'].error == pytest.approx(0.0155)
  assert base.measures['success'].mean == pytest.approx(0.406667, abs=1e-6)


def test_markdown_csv_and_json_agree(compared):
  row = read_comparison(compared).methods[1]
  success = row.measures['success']
  lines = (compared / 'comparison.md').read_text().splitlines()
  assert [line.split(' | ')[0] for line in lines[2:6]] == [
    '| Base', '| ADRPO', '| ORW-CFM-W2', '| RAFT',
  ]  # fmt: skip
  written = f'{100 * success.mean:.1f} ± {100 * success.error:.1f} %'
  assert lines[4].startswith(f'| ORW-CFM-W2 | 2 | {written} | +')
  table = csv.DictReader(io.StringIO((compared / 'comparison.csv').read_text()))
  by_method = {line['method']: line for line in table}
  assert float(by_method['orw_cfm_w2']['success']) == success.mean
  assert float(by_method['orw_cfm_w2']['success_se']) == success.error
  assert by_method['raft']['on_front_diversity'] == 'False'
  record = json.loads((compared / 'comparison.json').read_text())
  assert record['methods'][1]['measures']['success'] == {
    'mean': success.mean,
    'error': success.error,
    'values': list(success.values),
  }
  assert record['notes'] == [
    'raft/seed_1 is left out: not finished.',
    'The methods have different numbers of finished seeds.',
  ]


def test_the_page_says_who_leads_and_stands_alone(compared):
  page = compared / 'comparison.html'
  assert_stands_alone(page)
  text = text_of(page)
  assert 'ORW-CFM-W2 reaches the highest success' in text
  assert 'On both Pareto fronts: ADRPO, ORW-CFM-W2' in text
  assert '3 methods 2 seeds 5 finished runs' in text
  assert 'raft/seed_1 is left out: not finished.' in text
  # four columns of images, six prompts, two samples
  assert text.count('✓') + text.count('✗') == 4 * 6 * 2


def test_categories_are_means_over_seeds(compared):
  values = []
  for seed in (0, 1):
    path = compared / 'adrpo' / f'seed_{seed}' / 'summary.json'
    by_category = json.loads(path.read_text())['final']['by_category']
    values.append(by_category['counting'])
  row = read_comparison(compared).methods[0]
  assert row.by_category['counting'].mean == pytest.approx(sum(values) / 2)
  shown = f'{100 * sum(values) / 2:.1f}'
  assert shown in text_of(compared / 'comparison.html')


def test_the_plots_are_images(compared):
  width, height = Image.open(compared / 'pareto.png').size
  assert 2.2 < width / height < 2.8
  assert Image.open(compared / 'samples.png').format == 'PNG'


def test_runs_of_different_bases_are_pointed_out(tmp_path):
  for seed in (0, 1):
    workdir = tmp_path / 'adrpo' / f'seed_{seed}'
    synthetic_runs.write_run(workdir, seed=seed, steps=10, ceiling=None)
  path = tmp_path / 'adrpo' / 'seed_1' / 'summary.json'
  summary = json.loads(path.read_text())
  summary['base']['success'] = 0.5
  path.write_text(json.dumps(summary))
  comparison = read_comparison(tmp_path)
  assert comparison.notes == (
    'The runs have different bases: their success is 40.7 % to 50.0 %. '
    'Each gain is against the base of its run.',
  )
  assert comparison.methods[0].predicted_ceiling is None


def test_runs_without_samples_or_evaluations_are_compared(tmp_path):
  workdir = tmp_path / 'my_method' / 'seed_0'
  workdir.mkdir(parents=True)
  summary = {
    'steps': 20,
    'base': {'success': 0.4, 'diversity': 0.9},
    'final': {'success': 0.5, 'success_se': 0.02, 'diversity': 0.9},
  }
  (workdir / 'summary.json').write_text(json.dumps(summary))
  text = text_of(write_comparison(tmp_path))
  assert 'my_method 1 50.0 ± 2.0 % +10.0 pp' in text
  assert 'These runs have no samples.' in text
  assert 'No run recorded categories.' in text
  assert (
    'No method has two evaluations at the same steps in all its seeds.' in text
  )


def test_a_damaged_summary_is_named_and_other_damage_noted(tmp_path):
  for seed in range(2):
    workdir = tmp_path / 'adrpo' / f'seed_{seed}'
    synthetic_runs.write_run(workdir, seed=seed, steps=10)
  path = workdir / 'metrics.jsonl'
  path.write_text(path.read_text().replace('"step": 3', '"stop": 3'))
  (workdir / 'samples' / 'final.npz').write_bytes(b'')
  notes = ' '.join(read_comparison(tmp_path).notes)
  assert 'adrpo/seed_1: metrics.jsonl: unreadable line' in notes
  assert 'adrpo/seed_1: samples/final.npz is unreadable' in notes
  (workdir / 'summary.json').write_text('{"steps": 1')
  with pytest.raises(InputError, match=r'seed_1/summary\.json.*Remove it'):
    read_comparison(tmp_path)


def test_scores_are_compared_in_their_own_units(tmp_path):
  """A reward without a measure of success is never a share."""
  for method in ('adrpo', 'raft'):
    workdir = tmp_path / method / 'seed_0'
    scored_runs.write_run(workdir, method=method, steps=20)
  comparison = read_comparison(tmp_path)
  assert comparison.goal.key == 'reward'
  row = comparison.methods[0]
  gain = row.mean('reward') - comparison.base.mean('reward')
  assert row.mean('reward_gain') == pytest.approx(gain)
  assert row.on_front == {'diversity': True, 'divergence': True}
  head, base, first, _ = table_rows(comparison)
  assert head[:5] == ['Method', 'Seeds', 'Reward', 'Gain', 'Diversity']
  assert base[2].startswith('21.990 ± ')
  assert first[3].startswith(f'+{gain:.3f} ± ')
  assert '%' not in as_markdown(comparison)
  text = text_of(write_comparison(tmp_path))
  assert 'reaches the highest reward on held-out prompts: ' in text
  assert 'The cost of reward' in text
  assert 'Reward by category The mean. A darker cell' in text
  assert 'uccess' not in text
  assert '%' not in text


def test_a_folder_without_finished_runs_is_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match='found none'):
    write_comparison(tmp_path)


def test_a_further_guidance_scale_has_a_column(tmp_path):
  guided = {'success': 0.5, 'success_guidance_4.5': 0.75}
  for name, final in (('one', {'success': 0.5}), ('two', guided)):
    made_texts.write_run(tmp_path / name / 'adrpo' / 'seed_0', final=final)
  table = as_markdown(read_comparison(tmp_path / 'two'))
  head, _, _, row, *_ = table.splitlines()
  column = head.split(' | ').index('Success at guidance 4.5')
  assert row.split(' | ')[column] == '75.0 %'
  assert 'guidance' not in as_markdown(read_comparison(tmp_path / 'one'))


def test_what_was_heard_is_in_the_table_of_models_that_hear(tmp_path):
  for name, final in (
    ('reads', {'success': 0.5}),
    ('hears', {'success': 0.5, 'heard': 0.9, 'silent_audio': 0.25}),
  ):
    made_texts.write_run(tmp_path / name / 'adrpo' / 'seed_0', final=final)
  table = as_markdown(read_comparison(tmp_path / 'hears'))
  heads = table.splitlines()[0].split(' | ')
  assert 'Heard' in heads
  assert 'Silent' in heads
  assert 'Consistent' not in heads
  assert 'Heard' not in as_markdown(read_comparison(tmp_path / 'reads'))
