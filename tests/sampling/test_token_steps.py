"""Steps of the loops over tokens, by hand and beside the loops themselves."""

import functools

import jax
import numpy as np
import pytest
from test_continuous_batching import answers, in_turns
from test_decoding import decode_fns

from adrpo_jax.sampling import decoding, token_steps


def test_all_wait_for_the_longest():
  drawn = token_steps.all_at_once(np.array([[3, 1], [7, 2]]))
  assert drawn == token_steps.TokenSteps(((4, 7),))


def test_equal_completions_take_turns():
  """Four rows, eight samples of five tokens: twice five steps, two fills."""
  drawn = token_steps.in_turns(np.full((1, 8), 5), 4)
  assert drawn.batches == ((4, 10), (2, 0), (1, 0))
  assert drawn.fills == 2


def test_rows_become_fewer_by_hand():
  """One completion is long: its row goes on in batches of two and of one.

  The first batch ends with the second token, when half of its rows have; the
  next with the third token, when one is left.
  """
  drawn = token_steps.in_turns(np.array([[9, 3, 2, 2]]), 4)
  assert drawn.batches == ((4, 2), (2, 1), (1, 6))
  assert drawn.fills == 1


@pytest.mark.parametrize(('rows', 'shards'), [(4, 1), (8, 1), (8, 4), (99, 1)])
def test_steps_are_those_of_the_loops(rows, shards):
  def reads(function):
    calls = []
    got = answers(decode_fns(calls), function, max_length=60)
    jax.effects_barrier()
    return len(calls), np.asarray(got.mask.sum(1))

  together, lengths = reads(decoding.generate)
  assert sum(token_steps.all_at_once(lengths).steps) == together
  steps, _ = reads(functools.partial(in_turns(rows, shards)))
  drawn = token_steps.in_turns(lengths.reshape(shards, -1), rows)
  assert sum(drawn.steps) == steps
