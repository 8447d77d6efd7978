"""The table of rewards of images: one row each, by the name in a config.

Every row gets (texts of all prompts, invalid_limit) before its parameters; a
step with a larger share of invalid samples than that limit is an error.
"""

from collections.abc import Collection, Mapping, Sequence
import functools
from typing import Any

import jax

from adrpo_jax.rewards import jpeg, table
from adrpo_jax.rewards.clip.aesthetic import aesthetic
from adrpo_jax.rewards.clip.scores import clip_score, hps_v2, pick_score
from adrpo_jax.rewards.clip.towers import VIT_H14, VIT_L14
from adrpo_jax.rewards.host.image_view import IMAGES
from adrpo_jax.rewards.normalizers import Named
from adrpo_jax.rewards.protocol import Reward, in_unit_range, on_device
from adrpo_jax.rewards.remote.client import remote
from adrpo_jax.rewards.table import RewardRow, device_row
from adrpo_jax.types import Array, PromptBatch, Scores
from adrpo_jax.worlds import shapes_diversity, shapes_judge


def shapes(
  texts: Sequence[str],
  invalid_limit: float,
  *,
  success_weight: float = 0.0,
  spread_weight: float = 0.0,
) -> Reward:
  """The share of a prompt's facts that hold, by the exact judge; in [0, 1].

  On the device. Measures: facts, that share; success, 1 where all hold;
  fidelity. A `success_weight` w makes the reward (1 − w)·facts + w·success:
  the last missing fact is then worth more than the first. A `spread_weight` s
  adds s·success·(spread − its mean over the prompt), where spread is a sample's
  mean distance to the others of its prompt in what the prompt leaves free
  (`shapes_diversity.spread_of_samples`), and then a measure too: of two right
  samples, the more unusual one is worth more.
  """
  del texts, invalid_limit  # It reads the facts of prompts, and never fails.
  judged = on_device(
    functools.partial(shapes_judge.judge, success_weight=success_weight)
  )
  if not spread_weight:
    return judged

  # In one program, in which both read the objects of an image once.
  @jax.jit
  def reward(prompts: PromptBatch, images: Array) -> Scores:
    scores = judged(prompts, images)
    spread = shapes_diversity.spread_of_samples(
      in_unit_range(images), prompts.facts
    )
    unusual = spread - spread.mean(1, keepdims=True)
    bonus = spread_weight * scores.measures['success'] * unusual
    return scores._replace(
      rewards=scores.rewards + bonus,
      measures=dict(scores.measures) | {'spread': spread},
    )

  return reward


# (name, host, ...) -> the row of a function on the host; see `table.host_row`.
host_row = functools.partial(
  table.host_row,
  inputs=lambda texts, invalid_limit: (texts, invalid_limit, IMAGES),
)

REWARDS: dict[str, RewardRow] = {
  'shapes': device_row(shapes, world='shapes'),
  'clip_score': device_row(clip_score, tower=VIT_L14),
  'pick_score': device_row(pick_score, tower=VIT_H14, path=''),
  'hps_v2': device_row(hps_v2, tower=VIT_H14, path=''),
  'aesthetic': device_row(aesthetic, tower=VIT_L14, head=''),
  'jpeg_compressibility': host_row(
    'jpeg_compressibility', jpeg.compressibility
  ),
  'jpeg_incompressibility': host_row(
    'jpeg_incompressibility', jpeg.incompressibility
  ),
  'remote': host_row('remote', remote, url=''),
}


def make_reward(
  weights: Mapping[str, float],
  texts: Sequence[str],
  invalid_limit: float = 0.1,
  parameters: Mapping[str, Mapping[str, Any]] | None = None,
  *,
  normalize: Mapping[str, Named] | None = None,
  monitor_only: Collection[str] = (),
  rows: table.Table = REWARDS,
) -> Reward:
  """The weighted sum of rows, see `table.sum_of_rows`.

  Args:
    weights: name of a term -> its weight.
    texts: of all prompts, in the order of their ids.
    invalid_limit: see there, as the others.
    parameters: of the rows.
    normalize: of the terms.
    monitor_only: names of terms that are measured and not trained on.
    rows: the table, where it has further rows.
  """
  return table.sum_of_rows(
    rows,
    lambda limit: (texts, limit),
    weights,
    invalid_limit,
    parameters,
    normalize=normalize,
    monitor_only=monitor_only,
  )
