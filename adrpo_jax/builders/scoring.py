"""The rewards of a config on a folder of images of any origin."""

from collections.abc import Sequence
from functools import partial

import jax
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders.parts import reward_terms
from adrpo_jax.builders.tasks.base import prompt_reader
from adrpo_jax.builders.tasks.images import make_judge
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
  judge = make_judge(config)
  images = image_folder.find_images(
    folder, prompt_reader(config)(prompts, check=judge.check)
  )
  try:
    judge.downscale(
      image_folder.read_images([images.files[0][:1]])
    )  # All are of one size.
  except ValueError as error:
    raise InputError(str(error)) from error
  terms = reward_terms(config.reward, IMAGE_FORMS)
  rewards = {
    term: image_table.make_reward(
      {term: 1.0},
      images.prompts.texts,
      invalid_limit=1.0,  # They are counted instead.
      parameters={term: parameters},
      rows=terms.rows,
    )
    for term, parameters in terms.parameters.items()
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
