"""Answers that a run keeps, with the clips and the verdicts of its task."""

import numpy as np

from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.report.sample_kinds import TEXTS
from adrpo_jax.samples import text_file
from adrpo_jax.samples.clips import clip_of
from adrpo_jax.samples.texts import make_verdicts

PROMPTS = PromptSet(('first?', 'second?'), ('a', 'b'), ('x', None))
FIELDS = {
  'tokens': np.array([[[1, 2], [3, 0]], [[2, 2], [1, 0]]]),
  'mask': np.array([[[1, 1], [1, 0]], [[1, 1], [1, 0]]], bool),
  'ended': np.array([[False, True], [True, True]]),
  'rewards': np.zeros((2, 2)),
  'log_ratio': np.ones((2, 2, 2)),
}


class Letters:
  """The tokens 1, 2 and 3 are a, b and c."""

  def decode(self, tokens):
    return ''.join('.abc'[token] for token in tokens)

  decode_raw = decode


def kept(path, **bound):
  TEXTS.bind(Letters(), **bound).keep(path, FIELDS, PROMPTS)
  return text_file.read(path)


def test_answers_of_prompts_without_sound(tmp_path):
  samples = kept(tmp_path / 'base.npz')
  assert samples.answers.tolist() == [['ab', 'c'], ['bb', 'a']]
  assert samples.verdicts.tolist() == [['cut short', ''], ['', '']]
  assert samples.divergences.tolist()[0] == [[1, 1], [1, 0]]
  assert samples.clips == ()


def test_clips_and_verdicts_of_a_task_are_kept(tmp_path):
  clip = clip_of(np.zeros(480), 16000, np.zeros((3, 2)))

  def clips(prompts):
    return tuple(clip._replace(heard=text) for text in prompts.texts)

  verdicts = make_verdicts(lambda *said: '/'.join(said))
  samples = kept(tmp_path / 'base.npz', clips=clips, verdicts=verdicts)
  assert [c.heard for c in samples.clips] == ['first?', 'second?']
  assert samples.verdicts.tolist() == [
    ['first?/ab/x · cut short', 'first?/c/x'],
    ['second?/bb/', 'second?/a/'],
  ]
