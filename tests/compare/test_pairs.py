"""Two files of answers, and two methods, on the same items."""

import made_benchmark
import pytest

from adrpo_jax.compare.answer_files import compare_answers
from adrpo_jax.errors import InputError

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
