"""Which guidance scale rollout and loss should have, at equal time of training.

  PYTHONPATH=. python benchmarks/guidance_trial.py

Four runs of ADRPO on the shipped base of shapes, for each seed: the scale of
the rollout is 1 or w, that of the loss is 1 or w. A scale above 1 costs two
forward passes. So each run gets as many steps as take the CPU time of --steps
steps without guidance. The time of a step is the median of the process's CPU
seconds over rounds in which the four runs take turns, so that other work on the
machine slows all of them alike. Success is that of held-out prompts, at the
scale 1 and at w; evaluations are not part of the time. Runs that --workdir has
are not done again.
"""

import argparse
from collections.abc import Iterator
import itertools
import json
import pathlib
import statistics
import time
from typing import Any

import jax

from adrpo_jax import builders, experience
from adrpo_jax.compare.table import markdown
from adrpo_jax.data.prompts import step_ids
from adrpo_jax.stats.estimates import estimate
from adrpo_jax.stats.number_format import decimal, percent
from adrpo_jax.types import PromptBatch, TrainState
from configs import t2i

WARM_UP = 2  # steps of each run, which compile

Scales = tuple[float, float]  # of the rollout, of the loss
Figures = dict[str, Any]


def main() -> None:
  """Measures the steps, makes the runs, and writes the table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--scale', type=float, default=2.0, help='w')
  parser.add_argument('--steps', type=int, default=32, help='unguided steps')
  parser.add_argument('--prompts', type=int, default=12, help='of a step')
  parser.add_argument('--seeds', type=int, default=3)
  parser.add_argument('--rounds', type=int, default=5, help='of timed steps')
  parser.add_argument('--eval-prompts', type=int, default=12)
  parser.add_argument(
    '--workdir', type=pathlib.Path, default='runs/guidance_trial'
  )
  parser.add_argument('--out', type=pathlib.Path)
  args = parser.parse_args()
  args.workdir.mkdir(parents=True, exist_ok=True)
  combinations = list(itertools.product((1.0, args.scale), repeat=2))
  runs = {scales: _built(args, scales) for scales in combinations}
  seconds = _seconds_of_steps(args, runs)
  plain = seconds[1.0, 1.0]
  steps = {s: round(args.steps * plain / seconds[s]) for s in combinations}
  base = _figures(args, (1.0, 1.0), runs[1.0, 1.0], seed=0, steps=0)
  found: dict[Scales, list[Figures]] = {s: [] for s in combinations}
  for seed, (scales, run) in itertools.product(range(args.seeds), runs.items()):
    found[scales].append(_figures(args, scales, run, seed, steps[scales]))
  rows = [['base', '', '', '', *_cells(args.scale, [base])]]
  rows += [
    [
      *(f'{scale:g}' for scale in scales),
      f'{seconds[scales]:.2f}',
      str(steps[scales]),
      *_cells(args.scale, figures),
    ]
    for scales, figures in found.items()
  ]
  head = ['rollout', 'loss', 'CPU seconds a step', 'steps']
  head += ['success at 1', f'success at {args.scale:g}', 'W2 at 1']
  table = markdown([head, *rows])
  print(table)
  if args.out:
    args.out.write_text(f'{table}\n', encoding='utf-8')


def _built(args: argparse.Namespace, scales: Scales) -> builders.Run:
  """Builds ADRPO as the comparison of methods has it."""
  config = t2i.get_config('compare')
  config.update(config.compare.adrpo)
  config.prompts.prompts_per_step = args.prompts
  config.sampler.guidance_scale, config.training.guidance_scale = scales
  config.eval.guidance_scales = (1.0, args.scale)
  config.eval.num_prompts = args.eval_prompts
  return builders.build(config, builders.make_mesh(config))


def _seconds_of_steps(
  args: argparse.Namespace, runs: dict[Scales, builders.Run]
) -> dict[Scales, float]:
  """Measures the CPU seconds of a step of each run, or reads them."""
  path = args.workdir / 'seconds.json'
  if not path.exists():
    timed = [_timed(run) for run in runs.values()]
    rounds = [[next(t) for t in timed] for _ in range(WARM_UP + args.rounds)]
    columns = zip(*rounds[WARM_UP:], strict=True)
    path.write_text(json.dumps([statistics.median(c) for c in columns]))
  return dict(zip(runs, json.loads(path.read_text()), strict=True))


def _timed(run: builders.Run) -> Iterator[float]:
  """Yields the CPU seconds of one step after another."""
  states = _states(run, seed=0)
  next(states)
  while True:
    since = time.process_time()
    next(states)
    yield time.process_time() - since


def _states(run: builders.Run, seed: int) -> Iterator[TrainState]:
  """Yields the state before each step, as `adrpo_jax.train` goes."""

  def prompts_at(step: int) -> PromptBatch:
    return run.prompts_of(step_ids(run.prompt_count, run.groups[0], step, seed))

  state = run.init()
  draw = experience.online(run._replace(prompts_at=prompts_at))
  for step in itertools.count():
    yield state
    key = jax.random.fold_in(jax.random.key(seed), step)
    prompts, samples, scores, _ = draw(state, step, key)
    update_key = jax.random.fold_in(key, 1)
    state, metrics = run.update(
      state, run.frozen, samples, scores, prompts, update_key
    )
    jax.block_until_ready(metrics['loss'])


def _figures(
  args: argparse.Namespace,
  scales: Scales,
  run: builders.Run,
  seed: int,
  steps: int,
) -> Figures:
  """Trains and evaluates, or reads what such a run has found."""
  name = f'rollout_{scales[0]:g}_loss_{scales[1]:g}_seed_{seed}_steps_{steps}'
  path = args.workdir / f'{name}.json'
  if not path.exists():
    state = next(itertools.islice(_states(run, seed), steps, None))
    figures = run.evaluate(run.policy(state, run.frozen), run.frozen).figures
    path.write_text(json.dumps(figures, default=float))
    print(f'{name}: success {figures["success"]:.3f}', flush=True)
  return json.loads(path.read_text())


def _cells(scale: float, runs: list[Figures]) -> list[str]:
  """Returns the means over seeds with their standard errors."""
  formats = {'success': percent, f'success_guidance_{scale:g}': percent}
  cells = []
  for key, write in (formats | {'divergence': decimal}).items():
    value = estimate([f[key] for f in runs], [f[f'{key}_se'] for f in runs])
    cells.append(write(value.mean, value.error) if value else '–')
  return cells


if __name__ == '__main__':
  main()
