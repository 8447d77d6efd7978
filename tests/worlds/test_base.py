"""The base that we ship: small, right after a round trip, with its story."""

import pathlib

import jax
import numpy as np
import pytest

from adrpo_jax.models.sd3.autoencoder import Autoencoder
from adrpo_jax.models.shapes import base as base_models
from adrpo_jax.worlds import shapes, shapes_judge, shapes_prompts

FOLDER = pathlib.Path(shapes.__file__).parent / 'shapes_base'
SAMPLES = 512


def test_the_base_is_small():
  stored = sum(file.stat().st_size for file in FOLDER.iterdir())
  assert stored <= 16 * 2**20


def test_the_base_says_how_it_was_made():
  origin = base_models.read_origin(FOLDER)
  assert origin['config']['flow']['steps'] > 0
  assert origin['versions']['jax']
  assert {file.stem for file in FOLDER.glob('*.jsonl')} >= {
    *('autoencoder', 'flow_1', 'flow_2', 'flow_3'),
    *('flow_4', 'flow_5', 'flow_6', 'flow_7', 'flow_8'),
    'text_encoder_7',
    *('distillation_3', 'decoder_2'),
  }


@pytest.mark.slow
@pytest.mark.parametrize('category', shapes_prompts.CATEGORIES)
def test_the_judge_is_right_after_a_round_trip(category):
  """Rendered truth, encoded and decoded, is what its prompt states."""
  base = base_models.load(FOLDER)
  coder, params = Autoencoder(base.autoencoder), base.params['autoencoder']

  @jax.jit
  def round_trip(images):
    latents = coder.apply(params, images * 2 - 1, method='encode')
    return coder.apply(params, latents, method='decode') / 2 + 0.5

  held_out = shapes_prompts.prompts('held_out')
  texts = [text for text, c in held_out if c == category]
  rows = np.random.default_rng(0).integers(len(texts), size=SAMPLES)
  facts = shapes_prompts.facts([texts[i] for i in rows])
  images = jax.jit(shapes.draw)(facts, jax.random.key(6))
  seen = jax.jit(shapes_judge.judge)(round_trip(images), facts)
  assert seen['success'].mean() >= 0.98
