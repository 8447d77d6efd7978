"""Checks CLIP's towers by hand: masks, the pooled token, errors, sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.models.clip.towers import (
  ACTIVATIONS,
  ClipText,
  ClipTextConfig,
  ClipVision,
  ClipVisionConfig,
  eos_positions,
)
from adrpo_jax.models.files import text_encoder_tables, weight_table

SIZES = {
  'hidden_size': 16,
  'intermediate_size': 24,
  'projection_dim': 12,
  'num_hidden_layers': 3,
  'num_attention_heads': 2,
}
TEXT = ClipTextConfig(
  **SIZES, vocab_size=50, max_position_embeddings=9, eos_token_id=40
)
VISION = ClipVisionConfig(**SIZES, image_size=12, patch_size=4)
TOKENS = np.array([[7, 45, 40, 46, 40, 9], [48, 3, 5, 49, 40, 49]])


def random_params(model, *inputs):
  """Random parameters; norms of one and biases of zero would hide mix-ups."""
  shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: (0.7 * rng.normal(size=leaf.shape)).astype(leaf.dtype), shapes
  )


@pytest.mark.parametrize(
  ('name', 'outputs'),
  [
    # x·Φ(x) and x/(1 + exp(−1.702·x)) at 1 and −2.
    ('gelu', [0.8413447461, -0.0455002639]),
    ('quick_gelu', [0.8457957659, -0.0643416127]),
  ],
)
def test_activations(name, outputs):
  ours = ACTIVATIONS[name](jnp.array([1.0, -2.0]))
  np.testing.assert_allclose(ours, outputs, rtol=1e-5)


@pytest.mark.parametrize(
  ('end', 'positions'),
  [
    (40, [2, 4]),  # the first 40, though larger ids stand before and after
    (2, [3, 3]),  # the old value: the first of the largest id
  ],
)
def test_where_a_text_ends(end, positions):
  np.testing.assert_array_equal(eos_positions(TOKENS, end), positions)


def test_states_do_not_see_later_tokens():
  model = ClipText(TEXT)
  params = random_params(model, TOKENS)
  apply = jax.jit(lambda tokens: model.apply(params, tokens))
  changed = TOKENS.copy()
  changed[0, 4:] = [11, 12]  # after the first end, of the first text only
  before, after = apply(TOKENS), apply(changed)
  moved = np.abs(before.penultimate - after.penultimate).max(-1)
  assert moved[0, :4].max() == moved[1].max() == 0
  assert moved[0, 4:].min() > 1e-2
  np.testing.assert_array_equal(before.pooled, after.pooled)
  changed = TOKENS.copy()
  changed[0, 0] += 1  # an early token reaches all that follow
  after = apply(changed)
  moved = np.abs(before.penultimate - after.penultimate).max(-1)
  assert moved[0].min() > 1e-4
  assert np.abs(before.pooled - after.pooled)[0].max() > 1e-4


def test_penultimate_states_know_nothing_of_the_last_layer():
  model = ClipText(TEXT)
  params = random_params(model, TOKENS)
  assert {n for n in params['params'] if n.startswith('layers')} == {
    'layers_0',
    'layers_2',
  }
  fc2 = params['params']['layers_2']['fc2']['dense']
  apply = jax.jit(model.apply)
  before = apply(params, TOKENS)
  fc2['bias'] = fc2['bias'] + np.arange(16, dtype=np.float32)
  after = apply(params, TOKENS)
  np.testing.assert_array_equal(before.penultimate, after.penultimate)
  assert np.abs(before.pooled - after.pooled).max() > 1e-2


def test_an_image_is_a_set_of_patches_with_places():
  """Swapped patches give the same output if their positions are swapped too."""
  model = ClipVision(VISION)
  image = np.random.default_rng(1).normal(size=(1, 12, 12, 3))
  image = image.astype(np.float32)
  params = random_params(model, image)
  swapped = image.copy()
  swapped[:, :4, 4:8], swapped[:, 8:, :4] = image[:, 8:, :4], image[:, :4, 4:8]
  apply = jax.jit(model.apply)
  before, moved = apply(params, image), apply(params, swapped)
  assert np.abs(before - moved).max() > 1e-2
  positions = params['params']['position_embedding']
  # Patches count along rows; the class token comes before them.
  positions[[2, 7]] = positions[[7, 2]]
  np.testing.assert_allclose(apply(params, swapped), before, atol=1e-5)


def test_images_of_another_size_are_refused():
  with pytest.raises(ValueError, match=r'\[B, 12, 12, 3\], got \(1, 16, 16'):
    jax.eval_shape(
      ClipVision(VISION).init, jax.random.key(0), np.zeros((1, 16, 16, 3))
    )


@pytest.mark.parametrize(
  ('model', 'inputs', 'rows', 'count'),
  [
    # models.md counts 123,650,304 for SD3's first text encoder.
    (
      ClipText(ClipTextConfig()),
      np.zeros((1, 77), int),
      text_encoder_tables.clip_text_rows(),
      123_650_304,
    ),
    # The whole CLIP ViT-L/14, 427,616,513, less that and the logit scale.
    (
      ClipVision(ClipVisionConfig()),
      np.zeros((1, 224, 224, 3)),
      text_encoder_tables.clip_vision_rows(),
      303_966_208,
    ),
  ],
)
def test_sizes_and_tables_of_the_released_towers(model, inputs, rows, count):
  shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count
  named = [
    name
    for source in weight_table.sources(rows, shapes).values()
    for name in source.names
  ]
  assert len(named) == len(set(named))
  last = model.config.num_hidden_layers - 1
  prefix = rows[0].theirs.split('.')[0]
  assert f'{prefix}.encoder.layers.{last}.mlp.fc2.weight' in named
