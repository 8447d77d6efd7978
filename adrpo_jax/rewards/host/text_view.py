"""Answers of a language model for judges on the host: their texts."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from adrpo_jax.rewards.host.transfer import (
  Piece,
  Place,
  View,
  Viewed,
  local_pieces,
)
from adrpo_jax.types import Array, PyTree

Decode = Callable[[Sequence[int]], str]


def text_view(decode: Decode) -> View:
  """The view of answers {'tokens', 'mask', 'log_prob' [P, G, T], 'ended'}.

  A text is that of the tokens under the mask, without the end-of-sequence
  token. Every text is judged: an answer that ended at once is the empty text.
  An answer whose log-probabilities are not all finite is not usable.

  Args:
    decode: token ids -> text, see `tokenizers.text_decoder`.
  """

  def pieces(samples: PyTree) -> dict[Place, Viewed]:
    samples = {k: jnp.asarray(leaf) for k, leaf in samples.items()}
    tokens, mask, ended, finite = (
      local_pieces(array, 2)
      for array in (
        samples['tokens'],
        samples['mask'],
        samples['ended'],
        _finite(samples['log_prob'], samples['mask']),
      )
    )
    return {
      place: Viewed(
        _text(decode, row, mask[place], ended[place]), finite[place].read
      )
      for place, row in tokens.items()
    }

  return View(pieces, tuple, 'answers had log-probabilities not finite')


def _text(
  decode: Decode, tokens: Piece, mask: Piece, ended: Piece
) -> Callable[[], str]:
  def read() -> str:
    ids = tokens.read()[mask.read().astype(bool)].tolist()
    return decode(ids[:-1] if ended.read() else ids)

  return read


@jax.jit
def _finite(log_prob: Array, mask: Array) -> Array:
  return (jnp.isfinite(log_prob) | ~mask.astype(bool)).all(-1)
