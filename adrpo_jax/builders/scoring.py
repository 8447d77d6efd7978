"""The rewards of a config on a folder of images of any origin."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from absl import logging
import jax
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders.parts import RewardTerms, reward_terms
from adrpo_jax.builders.tasks.base import prompt_reader
from adrpo_jax.builders.tasks.images import NO_JUDGE, Judge, make_judge
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.modalities.flow import pixel_diversity
from adrpo_jax.rewards import image_table
from adrpo_jax.rewards.protocol import in_unit_range
from adrpo_jax.rewards.user_rewards import IMAGE_FORMS
from adrpo_jax.scoring import image_folder, image_scores
from adrpo_jax.types import Array, PyTree


def judge_images(
  config: ConfigDict,
  folder: str,
  prompts: str,
  devices: Sequence[jax.Device] | None = None,
) -> tuple[image_folder.ImageFolder, dict[str, image_scores.Figure]]:
  """Scores a folder of images by each reward of a config, in its own units.

  Args:
    config: its reward, world, and eval.batch are looked at.
    folder: of images, see `scoring.image_folder`.
    prompts: the source of their prompts, see `data.prompts`.
    devices: they share the batch, whatever mesh a run of the config would
      have; all by default.

  Raises:
    InputError: a folder, prompts or rewards that do not fit.
  """
  terms = reward_terms(config.reward, IMAGE_FORMS)
  listed, judge, parameters = _judged(config, prompts, terms)
  images = image_folder.find_images(folder, listed)
  try:
    judge.downscale(
      image_folder.read_images([images.files[0][:1]])
    )  # All are of one size.
  except ValueError as error:
    raise InputError(str(error)) from error
  rewards = {
    term: image_table.make_reward(
      {term: 1.0},
      images.prompts.texts,
      invalid_limit=1.0,  # They are counted instead.
      parameters={term: own},
      rows=terms.rows,
    )
    for term, own in parameters.items()
  }

  @jax.jit
  def measure(batch: Array, facts: PyTree) -> dict[str, Array]:
    shown = in_unit_range(batch)
    return {'diversity_pixel': pixel_diversity(shown)} | dict(
      judge.measure(shown, facts)
    )

  mesh = sharding.make_mesh(devices=devices)
  whole = sharding.replicated(mesh)
  return images, image_scores.score(
    images,
    rewards,
    batch=-(-config.eval.batch_size // mesh.size) * mesh.size,
    facts=judge.facts,
    downscale=judge.downscale,
    measure=measure,
    place=partial(sharding.put_rows, mesh),
    gather=jax.jit(lambda tree: tree, out_shardings=whole),
  )


class _Judged(NamedTuple):
  """Prompts, the judge of their world, and the parameters of the rewards."""

  prompts: PromptSet
  judge: Judge
  parameters: dict[str, dict[str, Any]]


def _judged(config: ConfigDict, source: str, terms: RewardTerms) -> _Judged:
  """Reads prompts and chooses who judges their images.

  Where no prompt is one of the config's world, its judge and the rewards of
  that world are left out. Where some are, the others are mistakes.

  Raises:
    InputError: prompts that do not fit, or no reward for them.
  """
  read, judge = prompt_reader(config), make_judge(config)
  try:
    return _Judged(read(source, check=judge.check), judge, terms.parameters)
  except InputError:
    listed = read(source)
    if any(_takes(judge, text) for text in listed.texts):
      raise
  left_out = list(terms.of_worlds())
  parameters = {k: v for k, v in terms.parameters.items() if k not in left_out}
  if not parameters:
    raise InputError(
      f'Expected a reward for the prompts of {source}, which are none of the '
      f'world {config.world!r}; got {left_out}, of that world alone. Name '
      'others, as with '
      '--config.reward.monitor_only="(\'jpeg_compressibility\',)".'
    )
  logging.warning(
    'The prompts of %s are none of the world %r: its judge and %s are left '
    'out.',
    *(source, config.world, left_out),
  )
  return _Judged(listed, NO_JUDGE, parameters)


def _takes(judge: Judge, text: str) -> bool:
  try:
    judge.check(text)
  except ValueError:
    return False
  return True
