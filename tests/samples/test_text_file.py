"""Answers that a run keeps: every letter and number comes back."""

import numpy as np
import pytest

from adrpo_jax.samples import text_file


def made(**changed):
  """Two prompts of two answers, at most three tokens, in an array of five."""
  pieces = np.full((2, 2, 5), '', object)
  pieces[0, 0, :3] = 'two', '\n\n', ' lines'
  pieces[0, 1, :1] = '\n'
  pieces[1, 0, :2] = ' π ≥ ', '"<b>"'
  divergences = np.zeros((2, 2, 5))
  divergences[0, 0, :3] = 0.5, -1.25, 0.0
  fields = {
    'answers': [['two\n\n lines', '\n'], [' π ≥ "<b>"', '']],
    'prompts': ['first', ''],
    'categories': ['x', 'y'],
    'rewards': np.array([[0.5, -3.0], [1.0, 0.0]]),
    'success': np.array([[True, False], [True, False]]),
    'verdicts': [['right', ''], ['right', 'says nothing']],
    'pieces': pieces,
    'divergences': divergences,
  }
  return text_file.TextSamples(**fields | changed)


def test_texts_and_numbers_come_back(tmp_path):
  given = made()
  text_file.write(tmp_path / 'samples' / 'base.npz', given)
  got = text_file.read(tmp_path / 'samples' / 'base.npz')
  for name in ('answers', 'prompts', 'categories', 'verdicts'):
    assert getattr(got, name).tolist() == getattr(given, name)
  np.testing.assert_array_equal(got.rewards, given.rewards)
  np.testing.assert_array_equal(got.success, given.success)
  assert got.success.dtype == bool
  assert got.pieces.tolist() == given.pieces[..., :3].tolist()
  np.testing.assert_array_equal(got.divergences, given.divergences[..., :3])


def test_wide_cells_cost_little(tmp_path):
  pieces = np.full((2, 2, 2000), ' a', '<U128')
  large = made(pieces=pieces, divergences=np.zeros(pieces.shape))
  path = tmp_path / 'base.npz'
  text_file.write(path, large)
  assert path.stat().st_size < pieces.nbytes / 100
  np.testing.assert_array_equal(text_file.read(path).pieces, pieces)


def test_answers_of_no_tokens_are_kept(tmp_path):
  nothing = made(pieces=np.full((2, 2, 3), ''), divergences=np.zeros((2, 2, 3)))
  text_file.write(tmp_path / 'base.npz', nothing)
  got = text_file.read(tmp_path / 'base.npz')
  assert got.pieces.shape == got.divergences.shape == (2, 2, 0)


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('prompts', ['only one']),
    ('rewards', np.zeros((2, 3))),
    ('divergences', np.zeros((2, 2, 4))),
    ('pieces', np.full((2, 2), 'a')),
  ],
)
def test_shapes_that_do_not_belong_together_are_refused(tmp_path, name, value):
  with pytest.raises(ValueError, match='Expected answers'):
    text_file.write(tmp_path / 'base.npz', made(**{name: value}))
  assert not (tmp_path / 'base.npz').exists()


def test_a_torn_file_is_not_read(tmp_path):
  path = tmp_path / 'base.npz'
  text_file.write(path, made())
  path.write_bytes(path.read_bytes()[:-100])
  with pytest.raises(ValueError, match='cut short'):
    text_file.read(path)


def test_a_file_holds_no_pickle(tmp_path):
  text_file.write(tmp_path / 'base.npz', made())
  names = text_file.NAMES
  with np.load(tmp_path / 'base.npz', allow_pickle=False) as stored:
    assert {name: stored[name].dtype.kind for name in stored} == {
      name: {'rewards': 'f', 'success': 'b', 'divergences': 'f'}.get(name, 'U')
      for name in names
    }
