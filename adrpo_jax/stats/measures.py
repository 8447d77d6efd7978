"""What an evaluation measures, how it is named, and differences of it.

The one list that the report of a run and the comparison of methods share, so
that a figure reads the same in both. Flows and language share most names, but
not all of what stands behind them: `modality_of` tells which a run is of.
"""

from collections.abc import Callable, Mapping
import math
from typing import Any, NamedTuple

from adrpo_jax.stats.number_format import (
  decimals,
  known,
  percent,
  plain,
  plain_difference,
  point_difference,
)

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
  'grpo': 'GRPO',
  'rloo': 'RLOO',
  'adrpo_paper': 'ADRPO as published',
  'grpo_without_kl': 'GRPO without KL',
}

LANGUAGE_FAMILIES = ('text_world', 'qwen', 'qwen_tiny')


def modality_of(settings: Mapping[str, Any]) -> str:
  """'language' or 'flow', by the family of the model in a run's config."""
  model = settings.get('model')
  family = model.get('family') if isinstance(model, Mapping) else None
  return 'language' if family in LANGUAGE_FAMILIES else 'flow'


def method_title(name: str) -> str:
  """The name a method is published under; an unknown one is its own title."""
  return METHOD_TITLES.get(name, name)


Written = Callable[..., str]  # (value, error=None, places=None) -> text


class Measure(NamedTuple):
  """One number of an evaluation and the way to write it.

  better: +1 where more is better, -1 where less is, 0 where neither is
  share:  in [0, 1] and written in percent
  fixed:  decimal places, where they do not follow from the values
  axis:   its name along an axis, where that is not the title
  short:  its name at the head of a column, where that is not the title
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
    """The name along an axis."""
    return self.axis or self.title.lower()

  @property
  def head(self) -> str:
    """The name at the head of a column."""
    return self.short or self.title

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
    if self.fixed is not None:
      return self.fixed
    return 1 if self.share else decimals(*values)


Measures = dict[str, Measure]  # by their keys, in the order of a table


def _by_key(*measures: Measure) -> Measures:
  return {measure.key: measure for measure in measures}


REWARD = Measure(
  'reward',
  'Reward',
  'what is optimized, as the config puts it together',
  +1,
)

FLOW = _by_key(
  Measure(
    'success',
    'Success',
    'share of samples in which every fact of the prompt holds',
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
    'closeness of the image to a rendering of its own parse',
    +1,
  ),
  Measure(
    'diversity',
    'Diversity',
    'spread of what the prompt leaves free, relative to rendered truth',
    +1,
    axis='diversity, relative to rendered truth',
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
    axis='divergence from the base (W2)',
    short='W2',
  ),
)

LANGUAGE = _by_key(
  Measure(
    'success',
    'Success',
    'share of answers that the judge lets pass',
    +1,
    share=True,
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
    'of the next token, in nats, mean over the tokens of answers',
    0,
    axis='entropy (nats per token)',
  ),
  Measure(
    'length',
    'Answer length',
    'tokens of an answer, its end included',
    0,
    fixed=1,
  ),
  Measure(
    'truncated',
    'Truncated',
    'share of answers that the limit cuts off',
    -1,
    share=True,
  ),
  Measure(
    'divergence',
    'Divergence (KL)',
    'from the reference model, in nats per token',
    0,
    axis='KL to the base (nats per token)',
    short='KL',
  ),
)

MEASURES = {'flow': FLOW, 'language': LANGUAGE}  # by modality


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
