"""The next step's prompts are read while a step is computed."""

import threading

import pytest

from adrpo_jax.data.read_ahead import read_ahead


def test_the_next_step_is_read_before_it_is_asked_for():
  asked, begun = [], threading.Event()

  def read(step):
    asked.append(step)
    if step == 4:
      begun.set()
    return step * 10

  ahead = read_ahead(read)
  assert ahead(3) == 30
  assert begun.wait(10)  # No one has asked for step 4.
  assert ahead(4) == 40
  assert asked[:2] == [3, 4]
  assert asked.count(4) == 1


@pytest.mark.parametrize('steps', [[0, 0], [5, 2, 7], [9, 10, 3, 4]])
def test_steps_in_any_order(steps):
  assert [*map(read_ahead(lambda step: step + 0.5), steps)] == [
    step + 0.5 for step in steps
  ]


def test_a_fault_is_raised_where_its_step_is_asked_for():
  def read(step):
    if step == 1:
      raise OSError('gone')
    return step

  ahead = read_ahead(read)
  assert ahead(0) == 0
  with pytest.raises(OSError, match='gone'):
    ahead(1)
  assert ahead(2) == 2
