"""The measures of an evaluation: names, formats and differences.

The report of a run and the comparison of methods share this list, so that a
measure has the same name in both. Flow and language models share most names of
measures, but some have different meanings.
"""

from collections.abc import Callable, Iterable, Mapping
import math
from typing import Any, NamedTuple

from adrpo_jax.stats.number_format import (
  decimal,
  decimal_difference,
  decimal_places,
  is_finite,
  percent,
  point_difference,
)

Format = Callable[..., str]  # (value, error=None, places=None) -> text


class Measure(NamedTuple):
  """One number of an evaluation, and how to format it.

  better: +1 if more is better, -1 if less is better, 0 otherwise
  share:  True for a number in [0, 1], which is shown in percent
  fixed:  decimal places, unless they follow from the values
  axis:   the label of an axis, if it is not the title
  short:  the head of a column, if it is not the title
  """

  key: str
  title: str
  meaning: str
  better: int
  share: bool = False
  fixed: int | None = None
  axis: str = ''
  short: str = ''

  @property
  def label(self) -> str:
    """The label of an axis."""
    return self.axis or self.title.lower()

  @property
  def head(self) -> str:
    """The head of a column."""
    return self.short or self.title

  @property
  def format(self) -> Format:
    """The function that formats a value."""
    return percent if self.share else decimal

  @property
  def difference(self) -> Format:
    """The function that formats a difference of two values."""
    return point_difference if self.share else decimal_difference

  def places(self, *values: float | None) -> int:
    """Returns the decimal places for values that stand side by side."""
    if self.fixed is not None:
      return self.fixed
    return 1 if self.share else decimal_places(*values)


Measures = dict[str, Measure]  # by key, in the order of a table


def _by_key(*measures: Measure) -> Measures:
  return {measure.key: measure for measure in measures}


REWARD = Measure(
  'reward',
  'Reward',
  'the training objective: the weighted sum of the config',
  +1,
)

FLOW = _by_key(
  Measure(
    'success',
    'Success',
    'share of samples in which all facts of the prompt hold',
    +1,
    share=True,
  ),
  REWARD,
  Measure(
    'facts',
    'Facts that hold',
    'mean share of the facts of a prompt that hold',
    +1,
    share=True,
  ),
  Measure(
    'fidelity',
    'Fidelity',
    'similarity of the image and a rendering of what the judge parsed',
    +1,
  ),
  Measure(
    'diversity',
    'Diversity',
    'variation of what the prompt leaves open, relative to true renderings',
    +1,
    axis='diversity, relative to true renderings',
  ),
  Measure(
    'diversity_pixel',
    'Pixel diversity',
    'mean pixel distance within a prompt; mistakes count as diversity too',
    0,
  ),
  Measure(
    'unreadable',
    'Unreadable',
    'share of samples that the judge cannot parse; diversity leaves them out',
    -1,
    share=True,
  ),
  Measure(
    'divergence',
    'Divergence (W2)',
    'mean squared velocity difference from the reference model',
    0,
    axis='divergence from the base (W2)',
    short='W2',
  ),
)

LANGUAGE = _by_key(
  Measure(
    'success',
    'Success',
    'share of answers that the judge accepts',
    +1,
    share=True,
  ),
  Measure(
    'heard',
    'Heard',
    'share of the transcription of a clip that is right',
    +1,
    share=True,
  ),
  Measure(
    'consistent',
    'Consistent',
    'share of answers that follow from their own transcription',
    +1,
    share=True,
  ),
  Measure(
    'silent_audio',
    'Silent audio',
    'success on silence in place of the sound: what needs no hearing',
    0,
    share=True,
    short='Silent',
  ),
  REWARD,
  Measure(
    'diversity',
    'Diversity',
    'share of pairs of answers to a prompt that differ',
    +1,
    axis='diversity, pairs of answers that differ',
  ),
  Measure(
    'entropy',
    'Entropy',
    'entropy of the next token in nats, mean over the tokens of answers',
    0,
    axis='entropy (nats per token)',
  ),
  Measure(
    'length',
    'Answer length',
    'number of tokens of an answer, the end token included',
    0,
    fixed=1,
  ),
  Measure(
    'truncated',
    'Truncated',
    'share of answers cut off at the length limit',
    -1,
    share=True,
  ),
  Measure(
    'divergence',
    'Divergence (KL)',
    'divergence from the reference model in nats per token',
    0,
    axis='KL to the base (nats per token)',
    short='KL',
  ),
)


def goal(measures: Measures, *records: Mapping[str, Any]) -> Measure:
  """Returns what an evaluation is read by: success, or else the reward.

  A reward without a measure of success is a score in units of its own, so that
  a share of samples cannot be made of it.

  Args:
    measures: by key.
    records: evaluations; empty ones do not count.
  """
  share = all('success' in record for record in records if record)
  return measures['success' if share else 'reward']


MEASURES = {'flow': FLOW, 'language': LANGUAGE}  # by modality

_GUIDED = '_guidance_'  # between a measure and the scale of an evaluation


def with_guided(measures: Measures, *records: Mapping[str, Any]) -> Measures:
  """Adds the measures of evaluations at further guidance scales, if any.

  Args:
    measures: by key.
    records: evaluations; reward_guidance_4.5 is the reward at the scale 4.5.
  """
  guided: Measures = {}
  for key in dict.fromkeys(key for record in records for key in record):
    stem, _, scale = key.partition(_GUIDED)
    if scale and stem in measures and not scale.endswith('_se'):
      measure, at = measures[stem], f' at guidance {scale}'
      guided[key] = measure._replace(
        key=key,
        title=measure.title + at,
        axis=measure.label + at,
        short=measure.head + at,
      )
  return measures | guided


def guided_keys(measures: Iterable[str], key: str) -> list[str]:
  """Returns the keys of a measure at further guidance scales.

  >>> guided_keys(['reward', 'reward_guidance_4.5', 'facts'], 'reward')
  ['reward_guidance_4.5']
  """
  return [name for name in measures if name.startswith(f'{key}{_GUIDED}')]


def difference(
  base: dict, final: dict, key: str
) -> tuple[float | None, float | None]:
  """Returns (final − base, √(se² + se²)) of a measure, None if unknown.

  The error treats the evaluations as independent. They use the same prompts and
  noise, so the error is rather too large than too small.
  """
  before, after = base.get(key), final.get(key)
  if not (is_finite(before) and is_finite(after)):
    return None, None
  one, other = base.get(f'{key}_se'), final.get(f'{key}_se')
  if not (is_finite(one) and is_finite(other)):
    return after - before, None
  return after - before, math.hypot(one, other)


def ratio(base: dict, final: dict, key: str) -> float | None:
  """Returns final / base of a measure, None if unknown or if the base is 0."""
  before, after = base.get(key), final.get(key)
  if not (is_finite(before) and is_finite(after)) or before == 0:
    return None
  return after / before
