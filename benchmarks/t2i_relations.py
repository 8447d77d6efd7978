"""Whether a base of the shapes world tells where objects stand.

  PYTHONPATH=. python benchmarks/t2i_relations.py [BASE ...] [--out=FILE.json]

Three measures of each base, by default the one that ships with the package, on
held-out prompts of relations:

- Samples: the share in which both objects are right, and among these the share
  in which the relation holds. Where the prompt is not understood, it is about
  0.43: half, less the samples in which both centers are within the judge's
  margin.
- Text: the distance between the states of the encoder for a prompt and for
  that with the opposite relation, by kind of word, as a share of its norm.
- Loss: how much the flow-matching loss of rendered images rises, by noise
  level, when the relation in their captions is reversed.
"""

import argparse
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.models.condition import Condition
from adrpo_jax.models.sd3.autoencoder import Autoencoder
from adrpo_jax.models.sd3.mmdit import MMDiT
from adrpo_jax.models.shapes import base as base_models
from adrpo_jax.models.shapes.base import Base
from adrpo_jax.models.shapes.text_encoder import TextEncoder
from adrpo_jax.sampling import (
  euler,
  interpolate,
  solve,
  uniform_sigmas,
  velocity_target,
)
from adrpo_jax.types import Array
from adrpo_jax.worlds import shapes, shapes_judge, shapes_prompts

SHIPPED = pathlib.Path(shapes.__file__).parent / 'shapes_base'
OPPOSITE = {
  'left': 'right',
  'right': 'left',
  'above': 'below',
  'below': 'above',
}
LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95)
STEPS = 8  # of the sampler


def main() -> None:
  """Measures each base, and prints and writes the figures."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('bases', type=pathlib.Path, nargs='*')
  parser.add_argument('--prompts', type=int, default=512)
  parser.add_argument('--out', type=pathlib.Path)
  args = parser.parse_args()
  texts = held_out(args.prompts)
  folders = {str(folder): folder for folder in args.bases}
  figures = {
    name: measured(base_models.load(folder), texts)
    for name, folder in (folders or {'shipped': SHIPPED}).items()
  }
  print(json.dumps(figures, indent=1))
  if args.out:
    args.out.write_text(json.dumps(figures, indent=1) + '\n')


def held_out(count: int) -> list[str]:
  """Returns held-out prompts of relations, the same ones in every run."""
  listed = shapes_prompts.prompts('held_out')
  texts = [text for text, category in listed if category == 'relation']
  rows = np.random.default_rng(0).integers(len(texts), size=count)
  return [texts[row] for row in rows]


def reversed_relation(text: str) -> str:
  """Returns the prompt with the opposite relation."""
  return ' '.join(OPPOSITE.get(word, word) for word in text.split())


def measured(base: Base, texts: list[str]) -> dict[str, Any]:
  """Returns the figures of one base."""
  return {
    'samples': of_samples(base, texts),
    'text': of_text(base, texts),
    'loss': of_loss(base, texts),
  }


def of_samples(base: Base, texts: list[str]) -> dict[str, float | None]:
  """Returns the shares of samples with right objects and relations."""
  facts = shapes_prompts.facts(texts)
  images = sampled(base, texts, jax.random.key(3))
  parsed = jax.device_get(shapes_judge.parse(images))
  verdict = jax.device_get(shapes_judge.verify(parsed, facts))
  rows = np.arange(len(texts))
  right = np.ones(len(texts), bool)
  for slot in (0, 1):
    place = rows, verdict.assignment[:, slot]
    right &= parsed.present[place]
    right &= parsed.shape[place] == facts.shape[:, slot]
    right &= parsed.color[place] == facts.color[:, slot]
  first, second = (
    parsed.center[rows, verdict.assignment[:, slot]] for slot in (0, 1)
  )
  gap = second - first
  holds = np.asarray(
    jax.vmap(
      lambda kind, x, y: shapes.holds_relation(
        kind, x, y, shapes_judge.JUDGE_MARGIN
      )
    )(facts.relations[:, 0, 1], gap[:, 1], gap[:, 0])
  )
  return {
    'success': float(verdict.success.mean()),
    'objects_right': float(right.mean()),
    'relation_holds_where_right': float(holds[right].mean())
    if right.any()
    else None,
    'where_right': int(right.sum()),
  }


def of_text(base: Base, texts: list[str]) -> dict[str, float]:
  """Returns ‖s − s of the reversed prompt‖ / ‖s‖ of states, by kind of word."""
  tokens = shapes_prompts.tokenize(texts)
  states = encoded(base, texts).states
  other = encoded(base, [reversed_relation(text) for text in texts]).states
  distance = np.asarray(
    jnp.linalg.norm(states - other, axis=-1) / jnp.linalg.norm(states, axis=-1)
  )
  kinds = {
    'relation': tuple(OPPOSITE),
    'objects': (*shapes.COLORS, *shapes.SHAPES),
  }
  return {
    kind: float(
      distance[
        np.isin(tokens, [shapes_prompts.WORDS.index(w) for w in words])
      ].mean()
    )
    for kind, words in kinds.items()
  }


def of_loss(base: Base, texts: list[str]) -> dict[str, float]:
  """Returns, by noise level, the rise of the loss with reversed captions."""
  flow, coder = MMDiT(base.mmdit), Autoencoder(base.autoencoder)
  facts = shapes_prompts.facts(texts)
  images = jax.jit(shapes.draw)(facts, jax.random.key(1))
  latents = coder.apply(
    base.params['autoencoder'], images * 2 - 1, method='encode'
  )
  x0 = latents - base.autoencoder.shift_factor
  x0 *= base.autoencoder.scaling_factor

  @jax.jit
  def loss(condition: Condition, level: Array, key: Array) -> Array:
    noise = jax.random.normal(key, x0.shape)
    sigma = jnp.full(len(x0), level)
    velocity = flow.apply(
      base.params['transformer'],
      interpolate(x0, noise, sigma),
      sigma,
      condition,
    )
    return jnp.mean((velocity - velocity_target(x0, noise)) ** 2)

  right = encoded(base, texts)
  wrong = encoded(base, [reversed_relation(text) for text in texts])
  key = jax.random.key(2)
  return {
    f'{level:g}': float(loss(wrong, level, key) - loss(right, level, key))
    for level in LEVELS
  }


def encoded(base: Base, texts: list[str]) -> Condition:
  """Returns the condition of each prompt."""
  tokens = shapes_prompts.tokenize(texts)
  return TextEncoder(base.text_encoder).apply(
    base.params['text_encoder'], tokens
  )


def sampled(base: Base, texts: list[str], key: Array) -> Array:
  """Returns one image of each prompt, [B, H, W, 3] in [0, 1]."""
  flow, coder = MMDiT(base.mmdit), Autoencoder(base.autoencoder)
  condition = encoded(base, texts)
  side = base.mmdit.sample_size
  shape = len(texts), side, side, base.mmdit.in_channels

  @jax.jit
  def sample(condition: Condition, noise: Array) -> Array:
    latents = solve(
      lambda x, sigma: flow.apply(
        base.params['transformer'], x, sigma, condition
      ),
      noise,
      uniform_sigmas(STEPS),
      euler(),
      jax.random.split(key, len(noise)),
    )
    latents = latents / base.autoencoder.scaling_factor
    decoded = coder.apply(
      base.params['autoencoder'],
      latents + base.autoencoder.shift_factor,
      method='decode',
    )
    return jnp.clip(decoded, -1, 1) / 2 + 0.5

  return sample(condition, jax.random.normal(key, shape))


if __name__ == '__main__':
  main()
