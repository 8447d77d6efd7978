"""What the words of a prompt say of their objects, which a text encoder learns.

A color word or a shape word belongs to one object of the prompt. From the state
of such a word the encoder learns the shape and the color of its object, and on
which sides of another object it stands. The flow alone does not teach this: the
place of an object follows from the word left or right together with the order
of both objects, and from neither alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax

from adrpo_jax.models.shapes.text_encoder import TextEncoder
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import shapes, shapes_prompts
from adrpo_jax.worlds.shapes import FREE


class WordFacts(NamedTuple):
  """The facts of the object of each word; N prompts of L words.

  named [N, L] bool: whether the word is a color or a shape; the labels of other
  words are 0. shape, color [N, L] int32: of its object. sides [N, L, R] bool:
  whether its object is left of, right of, above or below another.
  """

  named: np.ndarray
  shape: np.ndarray
  color: np.ndarray
  sides: np.ndarray


def word_facts(texts: Sequence[str]) -> WordFacts:
  """Returns the facts that each word of the prompts stands for."""
  stated = shapes_prompts.facts(texts)
  words = len(texts), shapes_prompts.LENGTH
  labels = WordFacts(
    named=np.zeros(words, bool),
    shape=np.zeros(words, np.int32),
    color=np.zeros(words, np.int32),
    sides=np.zeros((*words, len(shapes.RELATIONS)), bool),
  )
  ends = {*shapes.SHAPES, *shapes_prompts.PLURALS}  # the last word of an object
  for n, text in enumerate(texts):
    slot = 0
    for place, word in enumerate(text.lower().split()):
      if word not in ends and word not in shapes.COLORS:
        continue
      labels.named[n, place] = True
      labels.shape[n, place] = stated.shape[n, slot]
      labels.color[n, place] = stated.color[n, slot]
      for subject, relation, other in stated.relations[n]:
        if relation != FREE and slot in (subject, other):
          # A relation and its inverse are neighbors, 2k and 2k + 1.
          side = relation if slot == subject else relation ^ 1
          labels.sides[n, place, side] = True
      slot += word in ends
  return labels


class WordHead(nn.Module):
  """States of words [*, D] -> logits of (shape, color, sides)."""

  @nn.compact
  def __call__(self, states: Array) -> tuple[Array, Array, Array]:
    return (
      nn.Dense(len(shapes.SHAPES), name='shape')(states),
      nn.Dense(len(shapes.COLORS), name='color')(states),
      nn.Dense(len(shapes.RELATIONS), name='sides')(states),
    )


def word_loss(
  encoder: TextEncoder,
  params: PyTree,
  batch: tuple[Array, WordFacts],
  key: Array,
) -> Array:
  """The cross-entropy of shape, color and each side, a mean over named words.

  params: of 'text_encoder' and 'head'. batch: (tokens [B, L], their facts).
  """
  del key
  tokens, facts = batch
  states = encoder.apply(params['text_encoder'], tokens).states
  shape, color, sides = WordHead().apply(params['head'], states)
  integer = optax.softmax_cross_entropy_with_integer_labels
  entropy = (
    integer(shape, facts.shape)
    + integer(color, facts.color)
    + optax.sigmoid_binary_cross_entropy(sides, facts.sides).sum(-1)
  )
  return jnp.mean(entropy, where=facts.named)
