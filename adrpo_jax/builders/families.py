"""The table of families of models that a config may name."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from adrpo_jax.builders import pretraining
from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.generators import decoder, omni, sd3
from adrpo_jax.builders.generators.base import Generator
from adrpo_jax.builders.generators.shapes import make_world_generator
from adrpo_jax.builders.tasks.audio import make_audio_task
from adrpo_jax.builders.tasks.base import Task
from adrpo_jax.builders.tasks.images import make_image_task
from adrpo_jax.builders.tasks.texts import make_text_task
from adrpo_jax.method import language_methods, methods
from adrpo_jax.method.table import Table

Make = Callable[[ConfigDict, jax.sharding.Mesh], Generator]


class Family(NamedTuple):
  """A family of models: one row of `FAMILIES`.

  modality:  'flow' or 'language', which says what the figures of a report are
  keys:      'flow', 'language' or 'audio', the table of its config's keys
  methods:   the table of methods
  task:      (config) -> Task
  generator: (config, mesh) -> the base that the config names, from its folder
  shapes:    (config, mesh) -> the base with shapes for weights; None if they
             are unknown without the weights
  pretrain:  (config, workdir, versions) -> None, makes a base; None for a
             family without one here
  """

  modality: str
  keys: str
  methods: Table
  task: Callable[[ConfigDict], Task]
  generator: Make
  shapes: Make | None = None
  pretrain: Callable[..., None] | None = None


_images = partial(
  Family,
  modality='flow',
  keys='flow',
  methods=methods.METHODS,
  task=make_image_task,
)
_texts = partial(
  Family,
  modality='language',
  keys='language',
  methods=language_methods.LANGUAGE_METHODS,
  task=make_text_task,
)
_sounds = partial(
  Family,
  modality='language',
  keys='audio',
  methods=language_methods.LANGUAGE_METHODS,
  task=make_audio_task,
  generator=omni.make_omni_generator,
)

FAMILIES: dict[str, Family] = {
  'world': _images(
    generator=make_world_generator, pretrain=pretraining.pretrain_images
  ),
  'sd3': _images(
    generator=sd3.make_sd3_generator, shapes=sd3.make_abstract_sd3
  ),
  'sd3_tiny': _images(generator=sd3.make_sd3_tiny_generator),
  'text_world': _texts(
    generator=decoder.make_decoder_generator,
    pretrain=pretraining.pretrain_texts,
  ),
  'decoder': _texts(
    generator=decoder.make_decoder_generator,
    shapes=decoder.make_abstract_decoder,
  ),
  'qwen_tiny': _texts(generator=decoder.make_decoder_generator),
  'omni': _sounds(shapes=omni.make_abstract_omni),
  'omni_tiny': _sounds(),
  'audio_world': _sounds(pretrain=pretraining.pretrain_audio),
}


def family_of(config: ConfigDict) -> Family:
  """Returns the family of a config. Raises InputError for an unknown name."""
  return lookup(FAMILIES, config.model.family, 'family of models')
