"""Softmax attention, and the one place that chooses how it is computed.

An `Attention` is a function (query, key, value, mask) of arrays [B, L, heads,
d] each -> [B, L, heads·d]; `mask` [B, 1, 1 or L, L] or None is True where to
attend. Scores and softmax are float32, whatever the arrays are.
"""

from collections.abc import Callable

import jax

from adrpo_jax.types import Array

Attention = Callable[..., Array]


def xla(
  query: Array, key: Array, value: Array, mask: Array | None = None
) -> Array:
  """softmax(q·kᵀ/√d)·v as plain operations: on any platform."""
  out = jax.nn.dot_product_attention(query, key, value, mask=mask)
  return out.reshape(*out.shape[:2], -1)
