"""Diversity in what a prompt leaves free: places, sizes and styles.

The distance of two samples of a prompt is the mean, over its objects, of

  ‖Δ center‖ / H + [sizes differ] + [styles differ]

where sizes and styles count only where the prompt leaves them free. A pixel
distance would count wrong colors as diversity; this distance does not.
"""

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array
from adrpo_jax.worlds import shapes, shapes_judge
from adrpo_jax.worlds.shapes import FREE, SLOTS, Facts

TRUTH_KEY = 20_251_118  # one key, so that every evaluation has one truth


def spread(images: Array, facts: Facts) -> tuple[Array, Array]:
  """The mean distance of each prompt's pairs of readable samples.

  images [P, G, H, W, 3], facts [P, ...] -> spread [P], readable [P, G]. A
  sample that lacks an object for one of the prompt's is not readable, and
  enters no pair; a prompt without a readable pair has spread NaN.
  """
  apart, readable = _distances(images, facts)
  counted = _pairs_of(readable)
  number = counted.sum((1, 2))
  total = jnp.sum(apart, (1, 2), where=counted)
  return jnp.where(number > 0, total / number, jnp.nan), readable


def spread_of_samples(images: Array, facts: Facts) -> Array:
  """The mean distance of each sample to the others of its prompt, [P, G].

  Only readable samples count; one that is not, or is the only one, has 0.
  """
  apart, readable = _distances(images, facts)
  counted = _pairs_of(readable)
  total = jnp.sum(apart, -1, where=counted)
  return total / jnp.maximum(counted.sum(-1), 1)


def _distances(images: Array, facts: Facts) -> tuple[Array, Array]:
  """Distances of pairs [P, G, G], and which samples are readable [P, G]."""
  groups = images.shape[:2]
  flat = images.reshape(-1, *images.shape[2:])
  repeated = jax.tree.map(lambda leaf: jnp.repeat(leaf, groups[1], 0), facts)
  parsed = shapes_judge.parse(flat)
  verdict = shapes_judge.verify(parsed, repeated)

  def of_slots(leaf: Array) -> Array:
    rows = jnp.arange(flat.shape[0])[:, None]
    by_slot = leaf[rows, verdict.assignment]
    return by_slot.reshape(*groups, *by_slot.shape[1:])

  center, size, style = map(
    of_slots, (parsed.center, parsed.size, parsed.style)
  )
  used = jnp.arange(SLOTS)[None] < facts.objects[:, None]

  def pairs(values: Array) -> tuple[Array, Array]:
    return values[:, :, None], values[:, None, :]

  a, b = pairs(center)
  place = jnp.linalg.norm(a - b, axis=-1) / shapes.SIDE
  a, b = pairs(size)
  size_differs = (a != b) & (facts.size == FREE)[:, None, None]
  a, b = pairs(style)
  style_differs = (a != b) & (facts.style == FREE)[:, None, None]
  apart = (place + size_differs + style_differs) * used[:, None, None]
  apart = apart.sum(-1) / facts.objects[:, None, None]
  return apart, verdict.complete.reshape(groups)


def _pairs_of(readable: Array) -> Array:
  """Which pairs [P, G, G] are of two different readable samples."""
  both = readable[:, :, None] & readable[:, None, :]
  return both & ~jnp.eye(readable.shape[1], dtype=bool)[None]


def truth(facts: Facts, samples: int) -> Array:
  """Renders G true images a prompt: facts [P, ...] -> [P, G, H, W, 3]."""
  repeated = jax.tree.map(lambda leaf: jnp.repeat(leaf, samples, 0), facts)
  images = shapes.draw(repeated, jax.random.key(TRUTH_KEY))
  return images.reshape(-1, samples, *images.shape[1:])
