"""The reward of reasoning-gym: as the library scores, and on any text."""

import importlib.util
import re

import made_strings
import pytest

from adrpo_jax.data import prompts
from adrpo_jax.data.reasoning_prompts import entry_of
from adrpo_jax.rewards.text.reasoning import reasoning_gym

pytestmark = pytest.mark.skipif(
  importlib.util.find_spec('reasoning_gym') is None,
  reason="needs reasoning-gym: pip install 'adrpo_jax[reasoning]'",
)
PIECES = (*'0123456789+-*/()[]{},. ', 'QX', 'None', '\n', '<answer>')
# With answers as tuples, as JSON keys that are no text, and read by SymPy.
TASKS = 'rearc', 'knights_knaves', 'simple_integration', 'countdown'


@pytest.fixture(scope='module')
def reward():
  return reasoning_gym()


def asked(source):
  """(prompt, answer of the set, category) of all."""
  loaded = prompts.load(source)
  return list(zip(loaded.texts, loaded.answers, loaded.categories, strict=True))


def tagged(answer):
  return f'I think so.\n<answer>\n{answer}\n</answer> Yes.'


def test_a_sum_by_hand(reward):
  for text, reference, _ in asked('reasoning_gym:chain_sum:5'):
    right = eval(re.search(r'[-0-9][-+ 0-9]*(?= =)', text)[0])
    assert reward(text, tagged(right), reference) == 1
    assert reward(text, tagged(f'{right}.0'), reference) == 1
    assert reward(text, f'<answer>7</answer>{tagged(right)}', reference) == 1
    assert reward(text, tagged(right + 1), reference) < 1
    assert reward(text, str(right), reference) == 0  # no tags
    assert reward(text, '', reference) == 0


def test_what_the_library_scores(reward):
  """Its own answers, wrong ones, and none, scored by its own entries."""
  import reasoning_gym as library

  for text, reference, task in asked(f'reasoning_gym:{",".join(TASKS)}:8:2'):
    entry = entry_of(reference)
    made = library.create_dataset(task, seed=entry.seed, size=entry.size)
    kept = made[entry.place]
    assert kept['question'].strip() == text
    assert reward(text, tagged(kept['answer']), reference) == 1
    for wrong in ('1', 'x', None):
      given = '' if wrong is None else tagged(wrong)
      scored = made.score_answer(wrong, kept)
      assert scored < 1
      assert reward(text, given, reference) == pytest.approx(scored)


def test_what_is_no_entry_has_no_number(reward):
  (text, reference, _), (other, _, _) = asked('reasoning_gym:gcd:2')
  assert reward(text, tagged(1), None) is None
  assert reward(text, tagged(1), '1') is None
  assert reward(other, tagged(1), reference) is None
  assert reward(text, tagged(1), reference.replace('gcd', 'no_task')) is None
  assert reward(text, tagged(1), reference) is not None


def test_no_string_breaks_the_judge(reward):
  """prime_factorization raises on most texts; n_queens evaluates them."""
  tasks = 'prime_factorization', 'n_queens', 'countdown', 'game_of_life'
  for text, reference, _ in asked(f'reasoning_gym:{",".join(tasks)}:4'):
    for string in made_strings.strings(PIECES, 30):
      for given in (string, tagged(string)):
        assert 0 <= reward(text, given, reference) <= 1


@pytest.mark.parametrize(
  'call',
  [
    "open({path!r}, 'w')",
    "__import__('os').system('touch {path}')",
    "__import__('subprocess').run(['touch', {path!r}])",
    "__import__('pathlib').Path({path!r}).touch()",
  ],
)
def test_an_answer_that_is_evaluated_changes_nothing(reward, call, tmp_path):
  path = str(tmp_path / 'made')
  ((text, reference, _),) = asked('reasoning_gym:n_queens:1')
  assert reward(text, tagged(call.format(path=path)), reference) == 0
  assert reward(text, tagged('input()'), reference) == 0
  assert not list(tmp_path.iterdir())


def test_a_judgment_without_end_is_none_and_the_next_is_made():
  ((text, reference, _),) = asked('reasoning_gym:n_queens:1')
  hasty = reasoning_gym(seconds=3.0)
  assert hasty(text, tagged('sum(0 for _ in iter(int, 1))'), reference) is None
  assert hasty(text, tagged('x'), reference) == 0
