"""The sizes of released thinkers."""

import dataclasses
from typing import NamedTuple

from adrpo_jax.models.audio.tower import AudioTowerConfig
from adrpo_jax.models.decoder.architectures import ARCHITECTURES as DECODERS
from adrpo_jax.models.decoder.decoder import DecoderConfig


class OmniSizes(NamedTuple):
  """The sizes of a thinker without weights."""

  decoder: DecoderConfig
  tower: AudioTowerConfig


# The 7B has the decoder of Qwen2.5-7B, the 3B that of Qwen2.5-3B with an output
# embedding of its own. Their towers differ in the width of the decoder.
ARCHITECTURES = {
  'qwen2p5_omni_7b': OmniSizes(DECODERS['qwen2p5_7b'], AudioTowerConfig()),
  'qwen2p5_omni_3b': OmniSizes(
    dataclasses.replace(
      DECODERS['qwen2p5_7b'],
      vocab_size=151936,
      hidden_size=2048,
      intermediate_size=11008,
      num_hidden_layers=36,
      num_attention_heads=16,
      num_key_value_heads=2,
    ),
    AudioTowerConfig(output_dim=2048),
  ),
}
