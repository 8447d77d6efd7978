"""What a run keeps of every held-out prompt, for comparisons."""

import json
import types

import numpy as np
import pytest
import small_run

from adrpo_jax import commands
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.evaluate import Evaluation, judged
from adrpo_jax.system.records import PER_PROMPT, read_per_prompt, write_json
from adrpo_jax.types import Scores

REWARDS = np.array([[1.0, 3.0], [5.0, 7.0], [0.0, 0.0]])
VALID = np.array([[True, True], [True, False], [False, False]])


def test_prompts_are_judged_by_success_or_else_by_reward():
  success = {'success': np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])}
  means = judged(Scores(REWARDS, VALID, success))
  np.testing.assert_array_equal(means, [0.5, 1, np.nan])
  means = judged(Scores(REWARDS, VALID, {}))
  np.testing.assert_array_equal(means, [2, 5, np.nan])


def test_the_base_keeps_its_prompts_in_the_cache(tmp_path, monkeypatch):
  """More prompts than a run keeps samples of, with one that is not judged."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  scores = np.arange(commands.SHOWN + 3.0)
  scores[1] = np.nan
  calls = []

  def evaluate(params, frozen):
    calls.append(params)
    samples = {'rewards': np.zeros((len(scores), 2))}
    return Evaluation({'reward': 0.5}, samples, scores)

  run = types.SimpleNamespace(
    evaluate=evaluate,
    frozen={'reference': 0},
    identity='base',
    held_out=PromptSet(('a red circle',), ('single',)),
  )
  for _ in range(2):
    base = commands._base_evaluation(small_run.make_config(), run)
    np.testing.assert_array_equal(base.by_prompt, scores)
    assert base.samples['rewards'].shape == (commands.SHOWN, 2)
  assert len(calls) == 1

  final = base._replace(figures={'success': 1.0}, by_prompt=scores + 1)
  write_json(tmp_path / PER_PROMPT, commands._per_prompt(run, base, final))
  record = read_per_prompt(tmp_path)
  assert record['measure'] == 'success'
  assert record['base'] == [0, None, *scores[2:]]
  assert record['final'] == [1, None, *scores[2:] + 1]
  run.held_out = PromptSet(('a red circle',), ('single',), ('5',))
  other = commands._per_prompt(run, base, base)
  assert other['prompts'] != record['prompts']
  assert other['measure'] == 'reward'


def test_a_damaged_record_is_refused(tmp_path):
  assert read_per_prompt(tmp_path) is None
  record = {'measure': 'success', 'prompts': 'a', 'base': [0], 'final': [True]}
  for broken in (record, record | {'final': 1}, record | {'base': ['0']}):
    (tmp_path / PER_PROMPT).write_text(json.dumps(broken))
    with pytest.raises(InputError, match=r'Remove it and summary\.json'):
      read_per_prompt(tmp_path)
