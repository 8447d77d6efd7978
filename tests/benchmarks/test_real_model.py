"""The benchmark of a released model: its own data, and what it computes."""

import json

import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.worlds.instructions.constraints import constraints
from adrpo_jax.worlds.instructions.grammar import Instruction
from benchmarks.real_model import before_after, make_folder, models, run
from benchmarks.real_model import protect as protected


def test_sentences_and_questions_are_unlike_and_as_many_as_stated():
  sentences = (protected.HERE / 'ordinary.txt').read_text().splitlines()
  assert len(set(sentences)) == 100
  lines = (protected.HERE / 'questions.jsonl').read_text().splitlines()
  questions = [json.loads(line) for line in lines]
  assert len({one['question'] for one in questions}) == 50
  for one in questions:
    assert one['question'] not in protected.EXAMPLES
    assert all(map(protected.plain, one['answers']))


@pytest.mark.parametrize(
  ('said', 'read'),
  [
    (' Paris\nQ: What', 'paris'),
    ('\n "Seven."', 'seven'),
    ('The cat!', 'the cat'),
    ('', ''),
  ],
)
def test_an_answer_is_its_first_line(said, read):
  assert protected.plain(said) == read


def test_a_summary_has_the_error_of_the_mean():
  found = protected.summary([1.0, 2.0, 3.0, 6.0])
  assert (found['mean'], found['count']) == (3.0, 4)
  assert found['error'] == pytest.approx((14 / 3) ** 0.5 / 2)


ASKED = [
  Instruction('a', 'x', constraints([{'kind': 'lowercase'}])),
  Instruction(
    'b', 'x', constraints([{'kind': 'lowercase'}, {'kind': 'no_comma'}])
  ),
]


def test_shares_by_hand():
  said = ['tea', 'tea, hot']
  assert before_after.share_of_all(ASKED, said) == 0.5
  assert before_after.share_of_kind('lowercase', ASKED, said) == 1
  assert before_after.share_of_kind('no_comma', ASKED, said) == 0


def test_a_page_holds_answers_as_they_are():
  page = before_after.page(ASKED, ['Tea', '```x'], ['tea', 'hot'], 2)
  assert '| all of a prompt | 50% | 100% |' in page
  assert '| `lowercase` | 50% | 100% |' in page
  assert '````text\n```x\n````' in page
  assert '*before*: lowercase missed' in page
  assert '*after*: lowercase met, no_comma met' in page


def test_a_table_of_losses_is_of_means_over_seeds():
  def seed(value):
    return {key: {'mean': value} for key in run.LOST}

  assert run.lost({'base': [seed(1.0)], 'grpo': [seed(1.0), seed(2.0)]}) == (
    '| | loss | kl | entropy | answered | length |\n'
    '|---|---:|---:|---:|---:|---:|\n'
    '| base | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 |\n'
    '| grpo | 1.500 | 1.500 | 1.500 | 1.500 | 1.500 |\n'
  )


def test_every_method_of_the_table_is_in_its_preset():
  (config, *_) = run.of_config('compare_smollm2_135m', 'x', [])
  entries = run.contestants(
    run.config_files.load(config.removeprefix('--config='))
  )
  assert set(run.METHODS) <= set(entries)


def test_a_folder_without_a_model_and_another_wheel_are_refused(tmp_path):
  (tmp_path / 'config.json').write_text('{}')
  (tmp_path / 'metrics.jsonl').write_text('')
  with pytest.raises(InputError, match='--mode=export'):
    models.exported(tmp_path)
  (tmp_path / 'export').mkdir()
  (tmp_path / 'export' / 'adapter_config.json').write_text('{}')
  assert models.exported(tmp_path) == tmp_path / 'export'
  with pytest.raises(InputError, match='SHA-256'):
    make_folder.check_sum(tmp_path / 'config.json')
