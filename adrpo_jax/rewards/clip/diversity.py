"""The distance between images of one prompt for a CLIP vision tower.

Distances are between embeddings: `euclidean` takes them as the tower returns
them, with lengths near 10; `cosine` is 1 − cos, in [0, 2]. ADRPO
(https://arxiv.org/abs/2510.18053) does not define its ClipDiversity. Its
values, about 5, are of the size of the first; they cannot be the second.
"""

from collections.abc import Callable

import jax.numpy as jnp

from adrpo_jax.types import Array, Metrics

Distance = Callable[[Array, Array], Array]


def euclidean(a: Array, b: Array) -> Array:
  """‖a − b‖ over the last axis."""
  return jnp.sqrt(jnp.square(a - b).sum(-1))


def cosine(a: Array, b: Array) -> Array:
  """1 − a·b / (‖a‖·‖b‖) over the last axis, computed as ½‖â − b̂‖².

  That form is exactly 0 for equal vectors.
  """
  return jnp.square(unit(a) - unit(b)).sum(-1) / 2


def unit(x: Array) -> Array:
  """x / ‖x‖ over the last axis."""
  return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def spread(embeddings: Array, valid: Array, distance: Distance) -> Array:
  """Mean distance of each sample to the other valid ones of its prompt.

  Its mean over the valid samples of a prompt is the mean over their pairs, the
  diversity of the prompt.

  Args:
    embeddings: [P, G, D].
    valid: [P, G]; invalid samples are left out.
    distance: (a, b) -> over the last axis.

  Returns:
    [P, G]; 0 for a sample that is invalid or has no other beside it.
  """
  apart = distance(embeddings[:, :, None], embeddings[:, None])
  others = ~jnp.eye(valid.shape[1], dtype=bool)[None]
  pairs = valid[:, :, None] & valid[:, None] & others
  total = jnp.where(pairs, apart, 0).sum(-1)
  return total / jnp.maximum(pairs.sum(-1), 1)


def clip_diversity(embeddings: Array, valid: Array) -> Metrics:
  """The spreads of both distances by name, [P, G] each; see `spread`."""
  return {
    'clip_diversity': spread(embeddings, valid, euclidean),
    'clip_diversity_cosine': spread(embeddings, valid, cosine),
  }
