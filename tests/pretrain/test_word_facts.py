"""The labels of words by hand, and an encoder that learns them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adrpo_jax.models.shapes.text_encoder import TextEncoder, TextEncoderConfig
from adrpo_jax.pretrain.word_facts import WordHead, word_facts, word_loss
from adrpo_jax.worlds import shapes, shapes_prompts

LEFT, RIGHT, ABOVE, BELOW = range(len(shapes.RELATIONS))


def told(text):
  """Returns {word: (shape, color, sides)} of the words that are named."""
  facts = word_facts([text])
  return {
    word: (
      shapes.SHAPES[facts.shape[0, place]],
      shapes.COLORS[facts.color[0, place]],
      set(np.flatnonzero(facts.sides[0, place])),
    )
    for place, word in enumerate(text.split())
    if facts.named[0, place]
  }


def test_words_of_each_object_by_hand():
  text = 'a red circle left of a blue square and above a green cross'
  assert told(text) == {
    'red': ('circle', 'red', {LEFT, ABOVE}),
    'circle': ('circle', 'red', {LEFT, ABOVE}),
    'blue': ('square', 'blue', {RIGHT}),
    'square': ('square', 'blue', {RIGHT}),
    'green': ('cross', 'green', {BELOW}),
    'cross': ('cross', 'green', {BELOW}),
  }


def test_words_of_prompts_without_relations_by_hand():
  assert told('a small striped red circle') == {
    word: ('circle', 'red', set()) for word in ('red', 'circle')
  }
  assert told('three green crosses') == {
    word: ('cross', 'green', set()) for word in ('green', 'crosses')
  }
  assert told('a red circle and a blue square')['square'][2] == set()


def test_both_wordings_of_a_relation_are_told_the_same():
  assert told('a red circle left of a blue square') == told(
    'a blue square right of a red circle'
  )


def test_the_loss_by_hand():
  """Logits of 0: ln of all choices of a shape, a color and four sides."""
  encoder, params, batch = small()
  params['head'] = jax.tree.map(jnp.zeros_like, params['head'])
  choices = len(shapes.SHAPES) * len(shapes.COLORS) * 2**4
  assert word_loss(encoder, params, batch, None) == pytest.approx(
    np.log(choices), rel=1e-6
  )


def small():
  encoder = TextEncoder(
    TextEncoderConfig(
      vocabulary=len(shapes_prompts.WORDS),
      length=shapes_prompts.LENGTH,
      width=32,
      heads=2,
    )
  )
  texts = [
    f'a {a} left of a {b}' if left else f'a {a} right of a {b}'
    for left in (True, False)
    for a in ('red circle', 'blue square', 'green cross')
    for b in ('black triangle', 'yellow triangle')
  ]
  batch = jnp.asarray(shapes_prompts.tokenize(texts)), word_facts(texts)
  params = {
    'text_encoder': encoder.init(jax.random.key(0), batch[0]),
    'head': WordHead().init(jax.random.key(1), jnp.zeros((1, 32))),
  }
  return encoder, params, batch


@pytest.mark.slow
def test_an_encoder_learns_which_object_is_left():
  encoder, params, (tokens, facts) = small()
  optimizer = optax.adam(3e-3)

  @jax.jit
  def step(params, state):
    value, gradients = jax.value_and_grad(
      lambda p: word_loss(encoder, p, (tokens, facts), None)
    )(params)
    change, state = optimizer.update(gradients, state)
    return optax.apply_updates(params, change), state, value

  state = optimizer.init(params)
  for _ in range(150):
    params, state, value = step(params, state)
  assert value < 0.05
  states = encoder.apply(params['text_encoder'], tokens).states
  sides = WordHead().apply(params['head'], states)[2] > 0
  np.testing.assert_array_equal(sides[facts.named], facts.sides[facts.named])
