"""The folder of a config's thinker, and how it hears the sounds of prompts."""

from collections.abc import Callable
import functools
import pathlib
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.generators.model_folder import model_folder
from adrpo_jax.data.sound_checks import check_length
from adrpo_jax.data.sound_files import read_sound, sound_length
from adrpo_jax.errors import InputError
from adrpo_jax.models.audio.log_mel import MelSettings, make_log_mel
from adrpo_jax.models.audio.preprocessor_file import read_mel_settings
from adrpo_jax.models.decoder.sound_prompts import (
  SoundTokenizer,
  load_sound_tokenizer,
)
from adrpo_jax.models.files import opened_files
from adrpo_jax.models.omni import folder as omni_folder
from adrpo_jax.models.omni.folder import OmniFolder
from adrpo_jax.models.tiny import omni as omni_tiny
from adrpo_jax.system.user_code import read_arguments
from adrpo_jax.worlds import AUDIO_WORLDS

MEMORY = 2**28  # bytes of features that are not read twice


class Hearing(NamedTuple):
  """A thinker's folder, and its functions of the sounds of prompts.

  model:     the folder
  tokenizer: of prompts with a sound
  mel:       the settings of features
  wave:      (name of a sound) -> [samples] float32 at the rate of `mel`
  frames:    (name of a sound) -> f, without reading all of it
  features:  (name of a sound) -> log-mel [f, M] float32
  seconds:   of the longest sound that is allowed
  """

  model: OmniFolder
  tokenizer: SoundTokenizer
  mel: MelSettings
  wave: Callable[[str], np.ndarray]
  frames: Callable[[str], int]
  features: Callable[[str], np.ndarray]
  seconds: float

  @property
  def chunks(self) -> int:
    """The chunks of the longest sound."""
    frames = self.mel.frames(int(self.seconds * self.mel.sampling_rate))
    return max(-(-frames // (2 * self.model.tower.n_window)), 1)


def thinker_folder(config: ConfigDict) -> pathlib.Path:
  """The folder of a thinker; a tiny one is made if needed."""
  return model_folder(
    config,
    opened_files.OMNI,
    world='audio_world',
    tiny={'omni_tiny': omni_tiny.write},
    models='Qwen2.5-Omni',
  )


def make_hearing(config: ConfigDict) -> Hearing:
  """Reads the folder of a config's thinker, all but its weights.

  Raises:
    InputError: a folder of another kind, features of another width than those
      of the tower, or sounds longer than the features are made for.
  """
  folder = thinker_folder(config)
  model, mel = omni_folder.read(folder), read_mel_settings(folder)
  if mel.feature_size != model.tower.num_mel_bins:
    raise InputError(
      f'Expected features of {model.tower.num_mel_bins} mel bins, which the '
      f'tower in {folder} reads, got feature_size {mel.feature_size} of its '
      'preprocessor_config.json. Give a folder whose files belong together.'
    )
  seconds = config.audio.max_seconds
  if seconds > mel.chunk_length:
    raise InputError(
      f'Expected --config.audio.max_seconds of at most {mel.chunk_length}, the '
      f'chunk_length of the features in {folder}, got {seconds:g}.'
    )
  wave, length = _waves(config, mel.sampling_rate)
  log_mel = make_log_mel(mel)

  def features(name: str) -> np.ndarray:
    samples = wave(name)
    check_length(name, len(samples), mel.sampling_rate, mel.shortest, seconds)
    return log_mel(samples)

  rows = mel.frames(int(seconds * mel.sampling_rate))
  room = MEMORY // (4 * rows * mel.feature_size) + 1  # sounds
  tokenizer = load_sound_tokenizer(
    folder,
    model.ids.marker,
    system=config.model.system,
    arguments=read_arguments(
      config.model.template_arguments, 'model.template_arguments'
    ),
  )
  return Hearing(
    model=model,
    tokenizer=tokenizer,
    mel=mel,
    wave=wave,
    frames=functools.cache(lambda name: mel.frames(length(name))),
    features=functools.lru_cache(room)(features),
    seconds=seconds,
  )


def _waves(
  config: ConfigDict, rate: int
) -> tuple[Callable[[str], np.ndarray], Callable[[str], int]]:
  """The sounds of files, or of a world, which makes them, and their lengths."""
  if not config.world:
    return (
      lambda name: read_sound(name, rate),
      lambda name: sound_length(name, rate),
    )
  world = lookup(AUDIO_WORLDS, config.world, 'world of clips')
  if world.rate != rate:
    raise InputError(
      f'Expected features at {world.rate} samples a second, as the clips of '
      f'the world {config.world} have, got {rate}.'
    )
  return world.wave, lambda name: len(world.wave(name))
