"""Rotary embeddings: rates by hand, with and without the scaling of Llama 3."""

import dataclasses

import numpy as np
import pytest

from adrpo_jax.models.decoder.rope import Llama3Scaling, rope_rates

SCALING = Llama3Scaling(
  factor=8.0,
  low_freq_factor=1.0,
  high_freq_factor=4.0,
  original_max_position_embeddings=100,
)


def test_plain_rates():
  rates = rope_rates(8, 1e4, Llama3Scaling())
  np.testing.assert_allclose(rates, [1, 0.1, 0.01, 0.001])


def test_short_waves_stay_and_long_ones_are_stretched():
  """In 100 positions these features turn 15.9, 1.59, 0.159, 0.0159 times."""
  turns = 100 * 0.1 / (2 * np.pi)
  plain = (turns - 1) / 3
  between = 0.1 * plain + 0.1 / 8 * (1 - plain)
  rates = rope_rates(8, 1e4, SCALING)
  np.testing.assert_allclose(rates, [1, between, 0.01 / 8, 0.001 / 8])


def test_an_empty_range_between_short_and_long_is_refused():
  with pytest.raises(ValueError, match=r'got 2\.0 and 2\.0'):
    dataclasses.replace(SCALING, low_freq_factor=2.0, high_freq_factor=2.0)
