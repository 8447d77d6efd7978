"""Pre-training of the bases of the embedded worlds, from a config."""

from collections.abc import Callable, Mapping
import dataclasses
import pathlib
from typing import Any

from ml_collections import ConfigDict

from adrpo_jax.models.shapes import base as base_models
from adrpo_jax.pretrain import audio, shapes, texts
from adrpo_jax.pretrain.stage import StageConfig


def pretrain_images(
  config: ConfigDict, workdir: pathlib.Path, versions: Mapping[str, str]
) -> None:
  """Makes workdir/base, from scratch or from the base at model.path."""
  folder = config.model.path
  stages = {
    field.name: StageConfig(**config.pretrain[field.name])
    for field in dataclasses.fields(shapes.Recipe)
    if field.type is StageConfig
  }
  base = shapes.run(
    workdir,
    shapes.Recipe(**config.pretrain.to_dict() | stages),
    seed=config.seed,
    start=base_models.load(pathlib.Path(folder)) if folder else None,
  )
  origin = {
    'config': config.pretrain.to_dict(),
    'seed': config.seed,
    'versions': versions,
    'start': base_models.read_origin(pathlib.Path(folder)) if folder else None,
  }
  base_models.save(workdir / 'base', base, origin)


def pretrain_texts(
  config: ConfigDict, workdir: pathlib.Path, versions: Mapping[str, str]
) -> None:
  """Makes workdir/base for the world of the config."""
  _pretrain(texts.run, config, workdir, versions)


def pretrain_audio(
  config: ConfigDict, workdir: pathlib.Path, versions: Mapping[str, str]
) -> None:
  """Makes workdir/base, a thinker, for the world of clips of the config."""
  _pretrain(audio.run, config, workdir, versions)


def _pretrain(
  run: Callable[..., Any],
  config: ConfigDict,
  workdir: pathlib.Path,
  versions: Mapping[str, str],
) -> None:
  run(
    workdir,
    world=config.world,
    **config.pretrain.to_dict(),
    seed=config.seed,
    versions=versions,
  )
