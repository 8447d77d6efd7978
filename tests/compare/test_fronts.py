"""Fronts over settings: areas and tests by hand, tables, page and picture."""

import io
import json
import math

from html_pages import assert_stands_alone, text_of
from PIL import Image
import pytest
import synthetic_runs

from adrpo_jax.compare.report import write_comparison
from adrpo_jax.compare.results import read_comparison
from adrpo_jax.stats.hypervolume import hypervolume
from adrpo_jax.stats.paired_seeds import seed_gap

UP = (True, True)


def test_areas_by_hand():
  """Rectangles 3 × 1 and 1 × 2 above (1, 1) share 1 × 1."""
  points = [(4.0, 2.0), (2.0, 3.0)]
  assert hypervolume(points, (1.0, 1.0), more_is_better=UP) == 4
  # Dominated, equal to the reference, or worse: they add nothing.
  more = [*points, (1.5, 1.5), (1.0, 9.0), (0.0, 9.0)]
  assert hypervolume(more, (1.0, 1.0), more_is_better=UP) == 4
  assert hypervolume([], (1.0, 1.0), more_is_better=UP) == 0


def test_less_of_a_measure_may_be_better():
  points = [(0.5, 0.1), (0.7, 0.3)]
  got = hypervolume(points, (0.2, 0.4), more_is_better=(True, False))
  assert got == pytest.approx(0.3 * 0.3 + 0.2 * 0.1)


def test_a_gap_over_seeds_by_hand():
  """Gaps 1, 2, 3: mean 2, error 1/√3, t = 3.464 with two degrees of freedom."""
  gap = seed_gap([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
  half = 4.302653 / math.sqrt(3)
  assert gap[:4] == pytest.approx((3, 2.0, 2 - half, 2 + half), abs=1e-5)
  assert gap.p == pytest.approx(0.0741799, abs=1e-6)
  assert gap.verdict == 'undecided'
  clear = seed_gap([2.0, 2.1, 2.2], [1.0, 1.1, 1.3])
  assert clear.verdict == 'ahead'
  assert seed_gap([1.0, 1.1, 1.3], [2.0, 2.1, 2.2]).verdict == 'behind'


def test_one_seed_decides_nothing_and_equal_ones_are_equal():
  assert seed_gap([2.0], [1.0]).verdict == 'undecided'
  same = seed_gap([1.0, 2.0], [1.0, 2.0])
  assert (same.difference, same.p, same.verdict) == (0, 1, 'undecided')
  with pytest.raises(ValueError, match='same seeds'):
    seed_gap([1.0], [1.0, 2.0])


@pytest.fixture(scope='module')
def swept(tmp_path_factory):
  """ADRPO with two settings, and another method with one, two seeds each."""
  workdir = tmp_path_factory.mktemp('sweep')
  for name in ('adrpo@beta0=0.1', 'adrpo@beta0=0.2', 'raft'):
    for seed in (0, 1):
      folder = workdir / name / f'seed_{seed}'
      synthetic_runs.write_run(
        folder, method=name.partition('@')[0], seed=seed, steps=20
      )
      if name.endswith('0.2'):
        changed(folder, success=0.1, diversity=-0.2)
  write_comparison(workdir)
  return workdir


def changed(folder, **by):
  """Adds to the final measures of a run."""
  file = folder / 'summary.json'
  summary = json.loads(file.read_text())
  for key, value in by.items():
    summary['final'][key] += value
  file.write_text(json.dumps(summary))


def test_the_front_of_a_seed_has_all_its_settings(swept):
  comparison = read_comparison(swept)
  by_axis = {fronts.axis: fronts for fronts in comparison.fronts}
  assert set(by_axis) == {'diversity', 'divergence'}
  fronts = by_axis['diversity']
  ours, other = fronts.methods
  assert (ours.method, other.method) == ('adrpo', 'raft')
  assert set(ours.points) == {'beta0=0.1', 'beta0=0.2'}
  assert set(other.points) == {''}
  finals = [
    json.loads((swept / name / 'seed_1' / 'summary.json').read_text())['final']
    for name in ('adrpo@beta0=0.1', 'adrpo@beta0=0.2')
  ]
  points = [(final['success'], final['diversity']) for final in finals]
  assert ours.areas[1] == hypervolume(
    points, fronts.reference, more_is_better=UP
  )
  assert fronts.gaps['raft'].difference == pytest.approx(
    sum(ours.areas[s] - other.areas[s] for s in (0, 1)) / 2
  )


def test_fronts_stand_in_all_forms(swept):
  text = (swept / 'comparison.md').read_text()
  assert '## Fronts over settings' in text
  assert '| ADRPO | 2 | 2 |' in text
  assert 'Success and Diversity: ADRPO is ' in text
  assert 'ADRPO, beta0=0.1' in text
  record = json.loads((swept / 'comparison.json').read_text())
  assert [one['axis'] for one in record['fronts']] == [
    *('diversity', 'divergence'),
  ]
  assert_stands_alone(swept / 'comparison.html')
  assert 'Fronts over settings' in text_of(swept / 'comparison.html')
  picture = Image.open(io.BytesIO((swept / 'fronts.png').read_bytes()))
  assert picture.size[0] > 1500


def test_without_a_sweep_there_are_none(compared):
  assert read_comparison(compared).fronts == ()
  assert not (compared / 'fronts.png').exists()
  assert 'Fronts over settings' not in (compared / 'comparison.md').read_text()
