"""Two files of answers, and two methods, on the same items."""

import json

import made_benchmark
import pytest
import synthetic_runs

from adrpo_jax.compare.answer_files import compare_answers
from adrpo_jax.compare.report import write_comparison
from adrpo_jax.compare.results import read_comparison
from adrpo_jax.errors import InputError
from adrpo_jax.system.records import PER_PROMPT, write_json

RIGHT = {
  name: f'<answer>{o}</answer>' for name, o in made_benchmark.RIGHT.items()
}


def written(folder, name, **changes):
  return str(made_benchmark.write(folder / f'{name}.json', RIGHT | changes))


def rows_of(text):
  return [
    [cell.strip() for cell in line.strip('|').split('|')]
    for line in text.splitlines()
    if line.startswith('| ') and '---' not in line
  ]


def test_two_files_by_hand(tmp_path):
  one = written(tmp_path, 'one', q1='dog')
  other = written(tmp_path, 'other', q2='Piano, Guitar', q3='no', q4='two')
  text = compare_answers([one, other], 'mmau', 4)
  head, official, _, strict = rows_of(text)
  assert head[-3:] == ['b', 'c', 'p']
  # By words q2 is right: the first is better on q3 and q4, worse on q1.
  assert official[:5] == [one, other, '4', '75.0 %', '50.0 %']
  assert official[5] == '+25.0 pp'
  assert official[-3:] == ['2', '1', '1.00']
  assert strict[4] == '25.0 %'
  assert strict[-3:] == ['3', '1', '0.62']  # 2 · (1 + 4) / 16
  assert "McNemar's" in text


def test_seeds_of_a_model_are_a_mean(tmp_path):
  one = written(tmp_path, 'a0'), written(tmp_path, 'a1', q1='dog', q3='no')
  other = written(tmp_path, 'b', q1='dog', q4='two')
  _, official, *_ = rows_of(compare_answers([','.join(one), other], 'mmau', 4))
  # Means of the first: ½, 1, ½, 1; of the second 0, 1, 1, 0.
  assert official[2:6] == ['4', '75.0 %', '50.0 %', '+25.0 pp']
  assert official[-3:-1] == ['2', '1']


def test_other_questions_are_refused(tmp_path, monkeypatch):
  one = written(tmp_path, 'one')
  with pytest.raises(InputError, match='--answers=FILE twice'):
    compare_answers([one], 'mmau', 4)
  monkeypatch.setitem(made_benchmark.RIGHT, 'q3', 'no')
  other = written(tmp_path, 'other')
  with pytest.raises(InputError, match=r"q3 is 'yes', got 'no'.*one version"):
    compare_answers([one, other], 'mmau', 4)
  text = (tmp_path / 'one.json').read_text().replace('"q2"', '"q9"')
  (tmp_path / 'other.json').write_text(text)
  with pytest.raises(InputError, match=r'q2 .*got no such question'):
    compare_answers([one, other], 'mmau', 4)


def test_an_answer_that_is_missing_is_named(tmp_path):
  one = written(tmp_path, 'one')
  other = written(tmp_path, 'other', q4=None)
  text = compare_answers([one, other], 'mmau', 4)
  assert f'{other}: 1 of 4 questions have no answer' in text


@pytest.fixture
def two_methods(tmp_path):
  """ADRPO with two seeds, RAFT with one, on four prompts; scores by hand."""
  finals = {
    ('adrpo', 0): [1, 0.5, None, 1],
    ('adrpo', 1): [0, 0.5, 1, 1],
    ('raft', 0): [0.25, 0.5, 1, 0.75],
  }
  for (method, seed), final in finals.items():
    folder = tmp_path / method / f'seed_{seed}'
    synthetic_runs.write_run(folder, method=method, seed=seed, steps=20)
    record = {'measure': 'success', 'prompts': 'a', 'final': final}
    write_json(folder / PER_PROMPT, record | {'base': [0, 0.5, 0.5, 0]})
  return tmp_path


def test_runs_are_paired_prompt_by_prompt(two_methods):
  base, raft = read_comparison(two_methods).pairs
  assert (base.first, base.second) == ('ADRPO', 'Base')
  # A prompt that one seed could not judge is left out: means ½, ½ and 1.
  assert base.paired[:3] == (3, pytest.approx(2 / 3), pytest.approx(1 / 6))
  assert (base.paired.better, base.paired.worse) == (2, 0)
  assert (raft.second, raft.paired.items) == ('RAFT', 3)
  assert raft.paired.difference == pytest.approx((0.25 + 0 + 0.25) / 3)
  assert (raft.paired.better, raft.paired.worse) == (2, 0)
  page = write_comparison(two_methods)
  assert 'Prompt by prompt' in page.read_text()
  text = page.with_suffix('.md').read_text()
  assert '| ADRPO | RAFT | 3 | 66.7 % | 50.0 % | +16.7 pp |' in text
  record = json.loads(page.with_suffix('.json').read_text())
  assert record['pairs'][1]['p'] == 0.5


@pytest.mark.parametrize(
  'change', [{'prompts': 'b'}, {'measure': 'reward'}, {'final': ['x']}, None]
)
def test_runs_on_other_prompts_are_not_paired(two_methods, change):
  path = two_methods / 'raft' / 'seed_0' / PER_PROMPT
  if change is None:
    path.unlink()
  else:
    record = json.loads(path.read_text())
    del record['crc']
    path.write_text(json.dumps(record | change))
  comparison = read_comparison(two_methods)
  assert comparison.pairs == ()
  assert 'not compared prompt by prompt' in ' '.join(comparison.notes)


def test_runs_of_an_older_version_are_compared_as_before(compared):
  assert read_comparison(compared).pairs == ()
  assert 'Prompt by prompt' not in (compared / 'comparison.html').read_text()
