"""What an evaluation measures, how it is named, and how numbers are written.

The one list that the report of a run and the comparison of methods share, so
that a figure reads the same in both.
"""

from collections.abc import Callable
import math
from typing import NamedTuple, TypeGuard

MINUS = '\u2212'

METHOD_TITLES = {
  'base': 'Base',
  'adrpo': 'ADRPO',
  'orw_cfm_w2': 'ORW-CFM-W2',
  'fixed_w2': 'Fixed-β W2',
  'nft': 'DiffusionNFT',
  'ram': 'RAM',
  'awm': 'AWM',
  'raft': 'RAFT',
  'rwr': 'RWR',
  'dpo': 'DPO',
  'flow_grpo': 'Flow-GRPO',
}


def method_title(name: str) -> str:
  """The name a method is published under; an unknown one is its own title."""
  return METHOD_TITLES.get(name, name)


def known(value: float | None) -> TypeGuard[float]:
  """Whether a number is there and finite."""
  return value is not None and math.isfinite(value)


def decimals(*values: float | None) -> int:
  """Places that show three digits of the largest of values; at least 3."""
  largest = max((abs(value) for value in values if known(value)), default=0.0)
  if largest == 0.0 or largest >= 0.1:
    return 3
  return min(6, 2 - math.floor(math.log10(largest)))


def plain(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """A number and its standard error: "0.712 ± 0.006"; "–" if unknown."""
  if not known(value):
    return '–'
  places = decimals(value) if places is None else places
  text = f'{value:.{places}f}'.replace('-', MINUS)
  return f'{text} ± {error:.{places}f}' if known(error) else text


def percent(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """A share and its standard error in percent: "66.2 ± 1.4 %"."""
  if not known(value):
    return '–'
  places = 1 if places is None else places
  text = f'{100 * value:.{places}f}'.replace('-', MINUS)
  if known(error):
    text += f' ± {100 * error:.{places}f}'
  return f'{text} %'


def plain_difference(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """A signed difference and its standard error: "+0.131 ± 0.009"."""
  if not known(value):
    return '–'
  return ('+' if value >= 0 else MINUS) + plain(abs(value), error, places)


def point_difference(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """A signed difference of shares, in percentage points: "+25.2 ± 2.0 pp"."""
  if not known(value):
    return '–'
  text = percent(abs(value), error, places).removesuffix(' %')
  return ('+' if value >= 0 else MINUS) + text + ' pp'


Written = Callable[..., str]  # (value, error=None, places=None) -> text


class Measure(NamedTuple):
  """One number of an evaluation and the way to write it.

  better: +1 where more is better, -1 where less is, 0 where neither is
  share:  in [0, 1] and written in percent
  """

  key: str
  title: str
  meaning: str
  better: int
  share: bool = False

  @property
  def written(self) -> Written:
    """The way to write a level."""
    return percent if self.share else plain

  @property
  def difference(self) -> Written:
    """The way to write a difference of two levels."""
    return point_difference if self.share else plain_difference

  def places(self, *values: float | None) -> int:
    """Decimal places for levels that stand beside each other."""
    return 1 if self.share else decimals(*values)


MEASURES = (
  Measure(
    'success',
    'Success',
    'share of samples in which every fact of the prompt holds',
    +1,
    share=True,
  ),
  Measure(
    'reward',
    'Reward',
    'what is optimised, as the config puts it together',
    +1,
  ),
  Measure(
    'held',
    'Facts that hold',
    'mean share of the facts of a prompt that hold',
    +1,
    share=True,
  ),
  Measure(
    'fidelity',
    'Fidelity',
    'closeness of the image to a rendering of its own parse',
    +1,
  ),
  Measure(
    'diversity',
    'Diversity',
    'spread of what the prompt leaves free, relative to rendered truth',
    +1,
  ),
  Measure(
    'diversity_pixel',
    'Pixel diversity',
    'mean pixel distance within a prompt; counts mistakes as variety too',
    0,
  ),
  Measure(
    'unreadable',
    'Unreadable',
    'share of samples that the judge cannot parse; not in the diversity',
    -1,
    share=True,
  ),
  Measure(
    'divergence',
    'Divergence (W2)',
    'mean squared velocity difference from the reference model',
    0,
  ),
)

MEASURE = {measure.key: measure for measure in MEASURES}


def difference(
  base: dict, final: dict, key: str
) -> tuple[float | None, float | None]:
  """(final − base, √(se² + se²)) of one measure; None for what is unknown.

  Both evaluations use the same prompts and noise, so that the error, which
  treats them as independent, is on the careful side.
  """
  before, after = base.get(key), final.get(key)
  if not (known(before) and known(after)):
    return None, None
  one, other = base.get(f'{key}_se'), final.get(f'{key}_se')
  if not (known(one) and known(other)):
    return after - before, None
  return after - before, math.hypot(one, other)


def ratio(base: dict, final: dict, key: str) -> float | None:
  """final / base of one measure; None where unknown or the base has 0."""
  before, after = base.get(key), final.get(key)
  if not (known(before) and known(after)) or before == 0:
    return None
  return after / before
