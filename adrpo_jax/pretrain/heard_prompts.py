"""Items of a world of clips as the prompts of a thinker."""

from collections.abc import Callable, Sequence
import functools
import pathlib
from typing import NamedTuple

import numpy as np

from adrpo_jax.data.clip_features import in_chunks
from adrpo_jax.models.audio.log_mel import MelSettings, make_log_mel
from adrpo_jax.models.audio.prompts import AudioPrompts, audio_prompts
from adrpo_jax.models.audio.tower import tokens_of
from adrpo_jax.models.decoder.sound_prompts import load_sound_tokenizer
from adrpo_jax.models.files.tokenizers import load_tokenizer
from adrpo_jax.worlds import AudioWorld
from adrpo_jax.worlds.tones.items import Item
from adrpo_jax.worlds.tones.tokenizer import AUDIO

# 50 frames a second, and so 12.5 tokens of audio.
MEL = MelSettings(
  feature_size=64,
  sampling_rate=16000,
  hop_length=320,
  n_fft=512,
  chunk_length=30,
)


class HeardPrompts(NamedTuple):
  """Prompts of a world as a thinker reads them.

  arrays:  (items) -> their prompts
  longest: tokens of the longest prompt of the world, in both splits
  """

  arrays: Callable[[Sequence[Item]], AudioPrompts]
  longest: int


def make_prompts(
  world: AudioWorld, folder: pathlib.Path, n_window: int
) -> HeardPrompts:
  """Makes the prompts of a world, in the template of the tokenizer of a folder.

  The features of a clip are computed once and stay in memory.
  """
  tokenizer = load_tokenizer(folder)
  marker = tokenizer.convert_tokens_to_ids(AUDIO)
  texts = load_sound_tokenizer(folder, marker)
  encode, log_mel = functools.cache(texts.encode), make_log_mel(MEL)
  listed = [*world.items('train'), *world.items('held_out')]
  frames = MEL.frames(len(world.wave(listed[0].audio)))
  count = tokens_of(frames)
  longest = max(encode(item.text).length(count) for item in listed)

  @functools.cache
  def mel(clip: str) -> np.ndarray:
    return log_mel(world.wave(clip))

  def arrays(items: Sequence[Item]) -> AudioPrompts:
    clips = in_chunks([mel(item.audio) for item in items], n_window, int)
    return audio_prompts(
      [encode(item.text).expanded(count) for item in items],
      clips.mel,
      clips.frames,
      marker=marker,
      pad=tokenizer.pad_token_id,
      longest=longest,
    )

  return HeardPrompts(arrays, longest)
