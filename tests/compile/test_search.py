"""The search for a batch and a mesh, with memory by a formula."""

import math

import pytest

from adrpo_jax.compile import search


@pytest.mark.parametrize('best', range(9))
def test_the_first_choice_that_fits(best):
  tried = []

  def fits(choice):
    tried.append(choice)
    return choice >= best

  found = search.cheapest(range(8), fits)
  assert found == (best if best < 8 else None)
  assert len(tried) <= 4
  assert len(set(tried)) == len(tried)


def test_the_first_choice_is_tried_first():
  tried = []
  assert search.cheapest('abc', lambda c: tried.append(c) or True) == 'a'
  assert tried == ['a']


@pytest.mark.parametrize('best', [1, 2, 3, 7, 20, 63, 64])
def test_a_straight_line_takes_four_tries(best):
  """1 and 2 give the line; its end, and one more that is too much."""
  tried = []

  def needs(n):
    tried.append(n)
    return 3 + n

  assert search.largest(needs, 3.5 + best, least=1, most=64) == best
  assert len(tried) <= 4, tried


def stairs(n):
  """Padding makes steps."""
  return 8 * math.ceil(n / 8)


def bent(n):
  """Another program is the largest from 20 on."""
  return max(10 + 0.1 * n, n - 8)


def silent(n):
  """The compiler does not say how much is too much."""
  return n if n < 13 else math.inf


@pytest.mark.parametrize('needs', [stairs, bent, silent, lambda n: 0])
@pytest.mark.parametrize('capacity', [12, 15.5, 40])
@pytest.mark.parametrize('least', [1, 3])
def test_any_memory_that_rises(needs, capacity, least):
  tried = []

  def counted(n):
    tried.append(n)
    return needs(n)

  right = max((n for n in range(least, 65) if needs(n) <= capacity), default=0)
  assert search.largest(counted, capacity, least=least, most=64) == right
  # The first, four along a line, and six halves of 64.
  assert len(set(tried)) == len(tried) <= 11


def test_nothing_fits():
  tried = []
  needs = lambda n: tried.append(n) or 9.0  # noqa: E731
  assert search.largest(needs, 8, least=2, most=64) == 0
  assert tried == [2]
