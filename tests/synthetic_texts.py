"""The workdir of a made-up run of a language model, as `synthetic_runs`."""

import math
import re

import numpy as np
import synthetic_runs

from adrpo_jax.samples import text_file

CATEGORIES = ('order', 'sum', 'story')
BASE_SUCCESS = (0.35, 0.5, 0.2)
OUTCOMES = {  # method: (gain in success, divergence, entropy at the end)
  'adrpo': (0.3, 0.09, 0.9),
  'grpo': (0.22, 0.06, 0.5),
}
TRUNCATED = 'Once upon a time\n\nthere was <b>7 & 8</b>, and “more”. ' * 12


def prompt_of(random, category):
  """(prompt, a right answer, a wrong one)"""
  numbers = random.integers(1, 30, 5)
  words = ' '.join(map(str, numbers))
  if category == 'order':
    right = ' '.join(map(str, sorted(numbers)))
    return f'Sort <ascending>: {words}', right, words
  if category == 'sum':
    total = int(numbers.sum())
    return f'Add: {words}', f'The sum is {total}.', f'The sum is {total + 3}.'
  return f'A story about {words}', f'{words}.\nThat was all.', TRUNCATED


def pieces_of(answer):
  """Words with the space before them, new lines, and a token for the end."""
  end = [] if answer == TRUNCATED else ['<end>']
  return [*re.findall(r'\n+|[^\S\n]?\S+|[^\S\n]', answer), *end]


def samples(path, success, *, seed=0, per_category=2, group=4):
  """success: chance per category; of seed 0, the base, no token has moved."""
  world, random = np.random.default_rng(3), np.random.default_rng(seed)
  prompts, answers, passes, changes = [], [], [], []
  for index in range(per_category * len(CATEGORIES)):
    category = index % len(CATEGORIES)
    prompt, right, wrong = prompt_of(world, CATEGORIES[category])
    prompts.append(prompt)
    for chance in world.uniform(size=group):
      passed = chance < success[category]
      answers.append(right if passed else wrong)
      passes.append(passed)
      size = len(pieces_of(answers[-1]))
      moved = random.normal(0.4 if passed else -0.3, 0.5, size)
      moved *= random.uniform(size=size) < 0.6
      changes.append(moved if seed else np.zeros(size))
  shape = (len(prompts), group)
  longest = max(map(len, changes)) + 3
  pieces = np.full((len(answers), longest), '', object)
  divergences = np.zeros((len(answers), longest))
  for row, (answer, change) in enumerate(zip(answers, changes, strict=True)):
    pieces[row, : len(change)] = pieces_of(answer)
    divergences[row, : len(change)] = change
  passes = np.array(passes).reshape(shape)
  text_file.write(
    path,
    text_file.TextSamples(
      answers=np.array(answers).reshape(shape),
      prompts=np.array(prompts),
      categories=np.array(CATEGORIES * per_category),
      rewards=np.where(passes, 1.0, 0.25),
      success=passes,
      verdicts=np.where(passes, 'as <asked>', ''),
      pieces=pieces.reshape(*shape, longest),
      divergences=divergences.reshape(*shape, longest),
    ),
  )


def evaluation(progress, *, outcome, seed):
  gain, divergence, entropy = outcome
  random = np.random.default_rng([seed, int(1000 * progress)])
  way = 1 - math.exp(-3.0 * progress)
  wobble = float(random.normal(0, 0.01)) if progress else 0.0
  by_category = {
    name: p + way * gain + wobble
    for name, p in zip(CATEGORIES, BASE_SUCCESS, strict=True)
  }
  success = float(np.mean(list(by_category.values())))
  return {
    'reward': 0.25 + 0.75 * success,
    'reward_se': 0.012,
    'success': success,
    'success_se': 0.016,
    'diversity': 0.95 - 0.3 * way,
    'diversity_se': 0.01,
    'diversity_distinct': 0.95 - 0.3 * way,
    'entropy': 2.1 + (entropy - 2.1) * way,
    'entropy_se': 0.02,
    'length': 31.0 - 9 * way,
    'length_se': 0.6,
    'truncated': 0.2 - 0.15 * way,
    'truncated_se': 0.01,
    'divergence': divergence * way,
    'divergence_se': 0.002,
    'by_category': by_category,
    'samples': 1024,
  }


def metrics_line(step, steps, *, outcome, random):
  seen = evaluation(step / steps, outcome=outcome, seed=0)
  line = synthetic_runs.metrics_line(
    step, steps, outcome=(outcome[0], 0, outcome[1]), random=random
  )
  for name in (
    'divergence_by_sigma', 'diversity_pixel', 'advantage_over_beta0_max',
  ):  # fmt: skip
    del line[name]
  noisy = ('entropy', 'length', 'truncated', 'diversity_distinct', 'reward')
  return line | {
    **{name: seen[name] * random.uniform(0.9, 1.1) for name in noisy},
    'divergence_good': 1.5 * line['divergence'],
    'divergence_poor': 0.6 * line['divergence'],
    'past_flip': 0.02 * step / steps,
    'log_ratio_quantiles': [-1.0, -0.1, 0.0, 0.1, 1.0],
  }


TEXT_WORLD = synthetic_runs.World(
  {'family': 'text_world'},
  'language',
  OUTCOMES,
  metrics_line,
  evaluation,
  samples,
  BASE_SUCCESS,
)


def write_run(workdir, **settings):
  """A whole run's workdir; see `synthetic_runs.write_run`."""
  return synthetic_runs.write_run(
    workdir, **{'ceiling': None, 'world': TEXT_WORLD} | settings
  )
