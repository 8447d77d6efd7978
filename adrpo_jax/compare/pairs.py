"""Tables of two models on the same items, from `stats.paired`."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from adrpo_jax.stats.measures import Measure
from adrpo_jax.stats.number_format import p_value
from adrpo_jax.stats.paired import Paired, paired

LEGEND = (
  'Two models on the same {items}. b counts the {items} on which the first has '
  'the higher score, c those on which the second has; p is that of the exact '
  "two-sided test of b against c, McNemar's where a score is 0 or 1. The 95 % "
  'interval is a bootstrap over {items}. Seeds of one model share the {items}: '
  'the score of one is their mean, and how much another seed would change is '
  'not in the interval.'
)


class Pair(NamedTuple):
  """A comparison of two models by their titles."""

  first: str
  second: str
  paired: Paired


def make_pairs(
  first: tuple[str, np.ndarray], others: Iterable[tuple[str, np.ndarray]]
) -> list[Pair]:
  """Compares a model with each of some others.

  Each is (title, scores [seeds, items]). Pairs without common items are left
  out.
  """
  title, scores = first
  pairs = [(other, paired(scores, values)) for other, values in others]
  return [Pair(title, other, pair) for other, pair in pairs if pair]


def pair_rows(pairs: Sequence[Pair], measure: Measure) -> list[list[str]]:
  """Returns the head of the table and a row for each pair."""
  head = ['First', 'Second', 'n', 'First', 'Second', 'Difference']
  return [
    [*head, '95 % interval', 'b', 'c', 'p'],
    *(
      [pair.first, pair.second, *_cells(pair.paired, measure)] for pair in pairs
    ),
  ]


def _cells(pair: Paired, measure: Measure) -> list[str]:
  places = measure.places(pair.first, pair.second)
  low, high = (
    measure.difference(value, places=places) for value in (pair.low, pair.high)
  )
  return [
    str(pair.items),
    measure.format(pair.first, places=places),
    measure.format(pair.second, places=places),
    measure.difference(pair.difference, places=places),
    f'{low.removesuffix(" pp")} to {high}',
    str(pair.better),
    str(pair.worse),
    p_value(pair.p),
  ]
