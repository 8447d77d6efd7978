"""Synthetic but realistic workdirs: what a run would write, in a second."""

from collections.abc import Callable
import json
import math
from typing import NamedTuple

import numpy as np

from adrpo_jax.samples import image_file

CATEGORIES = (
  'single',
  'binding',
  'relation',
  'counting',
  'style',
  'composition',
)
COLORS = {
  'red': (222, 41, 41),
  'green': (41, 166, 69),
  'blue': (41, 92, 222),
  'yellow': (242, 191, 31),
  'purple': (158, 61, 194),
  'black': (26, 26, 31),
}
SHAPES = ('circle', 'square', 'triangle', 'cross')
BASE_SUCCESS = (0.72, 0.38, 0.41, 0.29, 0.52, 0.12)
OUTCOMES = {  # method: (gain in success, diversity kept, divergence)
  'adrpo': (0.27, 0.985, 0.031),
  'orw_cfm_w2': (0.29, 0.88, 0.058),
  'fixed_w2': (0.19, 0.93, 0.029),
  'nft': (0.22, 0.95, 0.034),
  'ram': (0.2, 0.94, 0.027),
  'awm': (0.185, 0.945, 0.025),
  'raft': (0.17, 0.71, 0.071),
  'rwr': (0.14, 0.82, 0.049),
  'dpo': (0.08, 0.9, 0.036),
  'flow_grpo': (0.11, 0.97, 0.015),
}


def drawn_shape(canvas, shape, color, center, radius):
  y, x = np.mgrid[: canvas.shape[0], : canvas.shape[1]] + 0.5
  dy, dx = y - center[0], x - center[1]
  inside = {
    'circle': dx**2 + dy**2 <= radius**2,
    'square': np.maximum(abs(dx), abs(dy)) <= radius * 0.9,
    'triangle': (dy <= radius) & (2 * abs(dx) <= dy + radius),
    'cross': (np.minimum(abs(dx), abs(dy)) <= radius * 0.35)
    & (np.maximum(abs(dx), abs(dy)) <= radius),
  }[shape]
  canvas[inside] = COLORS[color]


def image(random, things, side):
  canvas = np.full((side, side, 3), 245, np.uint8)
  quarters = random.permutation(4)[: len(things)]
  for (color, shape), quarter in zip(things, quarters, strict=True):
    cell = np.array([quarter // 2, quarter % 2]) * side / 2 + side / 4
    drawn_shape(
      canvas,
      shape,
      color,
      cell + random.uniform(-0.06, 0.06, 2) * side,
      random.uniform(0.11, 0.18) * side,
    )
  noise = random.normal(0, 4, canvas.shape)
  return np.clip(canvas + noise, 0, 255).astype(np.uint8)


def prompt_of(random, category):
  count = {'single': 1, 'style': 1, 'composition': 3, 'counting': 3}
  things = [
    (str(random.choice(list(COLORS))), str(random.choice(SHAPES)))
    for _ in range(count.get(category, 2))
  ]
  if category == 'counting':
    things = things[:1] * 3
    return f'three {things[0][0]} {things[0][1]}s', things
  joint = ' left of ' if category == 'relation' else ' and '
  return joint.join(f'a {color} {shape}' for color, shape in things), things


def samples(path, success, *, seed=0, per_category=2, group=8, side=32):
  """success: chance per category, in the order of CATEGORIES."""
  world = np.random.default_rng(7)
  prompts, images, verdicts, passes = [], [], [], []
  for index in range(per_category * len(CATEGORIES)):
    prompt, things = prompt_of(world, CATEGORIES[index % len(CATEGORIES)])
    luck = world.uniform(size=group)
    prompts.append(prompt)
    for g in range(group):
      random = np.random.default_rng([seed, index, g])
      passed = luck[g] < success[index % len(CATEGORIES)]
      shown = list(things)
      if not passed:
        shown[0] = (
          str(random.choice([c for c in COLORS if c != things[0][0]])),
          things[0][1],
        )
      images.append(image(np.random.default_rng([index, g]), shown, side))
      held = len(things) + 1 - (not passed)
      names = ', '.join(f'{c} {s}' for c, s in shown[:2])
      verdicts.append(f'{names}; {held}/{len(things) + 1} facts')
      passes.append(passed)
  shape = (len(prompts), group)
  passes = np.array(passes).reshape(shape)
  image_file.write(
    path,
    image_file.Samples(
      images=np.array(images).reshape(*shape, side, side, 3),
      prompts=np.array(prompts),
      categories=np.array(CATEGORIES * per_category),
      rewards=np.where(passes, 1.0, 0.6),
      success=passes,
      verdicts=np.array(verdicts).reshape(shape),
    ),
  )


def evaluation(progress, *, outcome, seed):
  """What evaluations.jsonl holds at a share of the way; 0 is the base."""
  gain, spread, divergence = outcome
  random = np.random.default_rng([seed, int(1e4 * gain), int(1000 * progress)])
  way = 1 - math.exp(-3.0 * progress)
  wobble = float(random.normal(0, 0.01)) if progress else 0.0
  by_category = {
    name: min(0.98, p + way * gain * (1.1 - abs(p - 0.45)) + wobble)
    for name, p in zip(CATEGORIES, BASE_SUCCESS, strict=True)
  }
  success = float(np.mean(list(by_category.values())))
  return {
    'reward': 0.55 + 0.45 * success,
    'reward_se': 0.006,
    'success': success,
    'success_se': 0.0155,
    'fidelity': 0.962 - 0.01 * way,
    'fidelity_se': 0.0011,
    'diversity': 0.94 * (1 + (spread - 1) * way) + wobble / 2,
    'diversity_se': 0.0088,
    'diversity_pixel': 0.171 - 0.02 * way,
    'divergence': divergence * way * (1 + 6 * wobble),
    'by_category': by_category,
    'unreadable': 0.004,
    'samples': 1024,
  }


def metrics_line(step, steps, *, outcome, random):
  gain, _, divergence = outcome
  way = 1 - math.exp(-3.0 * step / steps)
  success = 0.41 + gain * way + random.normal(0, 0.035)
  betas = 1 - np.clip(random.normal(0, 0.42 - 0.15 * way, 512), -0.9, 0.9)
  counts, edges = np.histogram(betas, 24)
  w2 = divergence * way * math.exp(random.normal(0, 0.12))
  return {
    'step': step,
    'reward': 0.55 + 0.45 * success,
    'reward_std': 0.24 - 0.07 * way,
    'success': success,
    'zero_variance': 0.06 + 0.25 * way + abs(random.normal(0, 0.02)),
    'advantage_max': 0.7,
    'advantage_over_beta0_max': min(0.9, abs(random.normal(0.82, 0.06))),
    'beta_mean': float(betas.mean()),
    'beta_min': float(betas.min()),
    'beta_max': float(betas.max()),
    'beta_negative': float((betas < 0).mean()),
    'beta_histogram': {'edges': edges.tolist(), 'counts': counts.tolist()},
    'policy_loss': 0.62 - 0.05 * way + random.normal(0, 0.012),
    'divergence': w2,
    'divergence_by_sigma': [w2 * f for f in (1.9, 1.1, 0.65, 0.4)],
    'diversity_pixel': 0.171 - 0.02 * way + random.normal(0, 0.004),
    'grad_norm': 0.4 * math.exp(random.normal(0, 0.35)),
    'update_norm': 0.02 * math.exp(random.normal(0, 0.1)),
    'loss': 0.02 * math.exp(-step / steps) + random.normal(0, 0.003),
    'valid': 1.0,
    'seconds_rollout': 0.52 + abs(random.normal(0, 0.02)),
    'seconds_reward': 0.07,
    'seconds_update': 0.41 + abs(random.normal(0, 0.02)),
    'samples_per_second': 63.0 + random.normal(0, 1.5),
  }


def write_jsonl(path, records):
  path.write_text(''.join(json.dumps(record) + '\n' for record in records))


class World(NamedTuple):
  """What a made-up run is of.

  outcomes:     method -> what `metrics_line` and `evaluation` are told
  samples:      (path, success by category, seed=) writes kept samples
  base_success: by category
  """

  model: dict
  modality: str
  outcomes: dict
  metrics_line: Callable
  evaluation: Callable
  samples: Callable
  base_success: tuple


SHAPES_WORLD = World(
  {'family': 'world'},
  'flow',
  OUTCOMES,
  metrics_line,
  evaluation,
  samples,
  BASE_SUCCESS,
)


def write_run(
  workdir,
  *,
  method='adrpo',
  seed=0,
  steps=200,
  finished=True,
  ceiling=0.71,
  world=SHAPES_WORLD,
):
  """A whole run's workdir; an unfinished one stops at half the steps."""
  workdir.mkdir(parents=True, exist_ok=True)
  (workdir / 'samples').mkdir()
  outcome = world.outcomes[method]
  reached = steps if finished else steps // 2
  random = np.random.default_rng([seed, len(method)])
  config = {
    'config': {
      'method': {'name': method, method: {'beta0': 1.0, 'clip': 0.9}},
      'model': world.model,
      'steps': steps,
      'group_size': 16,
      'optimizer': {'learning_rate': 3e-4, 'betas': [0.9, 0.99]},
    },
    'modality': world.modality,
    'versions': {'jax': '0.10.2', 'flax': '0.12.8'},
    'commit': '3f9a1c2',
    'device': 'cpu x1',
  }
  (workdir / 'config.json').write_text(json.dumps(config))
  write_jsonl(
    workdir / 'metrics.jsonl',
    [
      world.metrics_line(s, steps, outcome=outcome, random=random)
      for s in range(1, reached + 1)
    ],
  )
  evaluations = [
    {'step': s} | world.evaluation(s / steps, outcome=outcome, seed=seed)
    for s in range(0, reached + 1, steps // 10)
  ]
  logged = evaluations[1:] if finished else evaluations  # the base is cached
  write_jsonl(workdir / 'evaluations.jsonl', logged)
  world.samples(workdir / 'samples' / 'base.npz', world.base_success)
  tuned = list(evaluations[-1]['by_category'].values())
  name = 'final.npz' if finished else f'step_{reached:06d}.npz'
  world.samples(workdir / 'samples' / name, tuned, seed=1)
  if finished:
    summary = {
      'method': method,
      'seed': seed,
      'steps': steps,
      'seconds': 210.4,
      'device': 'cpu x1',
      'base': {k: v for k, v in evaluations[0].items() if k != 'step'},
      'final': {k: v for k, v in evaluations[-1].items() if k != 'step'},
      'beta': {'mean': 1.0, 'min': 0.1, 'max': 1.9, 'fraction_negative': 0.0},
      'throughput': {'samples_per_second': 63.0},
    }
    if ceiling:
      summary['predicted_ceiling'] = ceiling
    (workdir / 'summary.json').write_text(json.dumps(summary))
  return workdir
