"""Times an update that reads a prompt once for its answers, and once for each.

  export PYTHONPATH=.
  python benchmarks/shared_prefix.py \\
    --out=benchmarks/results/shared_prefix.json

Both forms take the same prompts and keys, in one process and in turns, so that
a machine that slows down slows both. A work is P prompts of L tokens with G
answers of T each, P x G x T x L, on the small Qwen2 of llm_step.py. No layer is
computed again. Seconds of a step are those of its update and of a rollout,
which is the same for both; `update_cpu` adds up the cores. A work may also be a
config, as configs/audio.py:tiny_hf.
"""

import argparse
import json
import pathlib
import runpy
import statistics
import tempfile
import time

import jax

from adrpo_jax import builders
from benchmarks import llm_step, timing
from benchmarks.processor import processor

WORKS = (
  'configs/audio.py',
  'configs/audio.py:tiny_hf',
  '4x8x32x40',
  '4x8x32x160',
  '1x8x128x850',
)
FORMS = {'repeated': False, 'shared': True}


def main() -> None:
  """Times both forms for each work and prints medians and ratios."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--works', nargs='+', default=WORKS, help='see above')
  parser.add_argument('--repeats', type=int, default=5, help='steps timed')
  parser.add_argument('--out', type=pathlib.Path)
  args = parser.parse_args()
  report = {
    'command': 'PYTHONPATH=. python benchmarks/shared_prefix.py '
    f'--repeats={args.repeats}',
    'processor': processor(),
    'works': {},
  }
  with tempfile.TemporaryDirectory() as folder:
    llm_step.write_model(pathlib.Path(folder))
    for work in args.works:
      preset = work.partition('.py')[1]
      config = of_preset(work) if preset else of_text(folder, work)
      report['works'][work] = compare(config, args.repeats)
      print(work, json.dumps(report['works'][work], indent=1), flush=True)
      if args.out:
        args.out.write_text(json.dumps(report, indent=1) + '\n')


def of_preset(work: str):
  """Returns the config of FILE or FILE:PRESET."""
  file, _, preset = work.partition(':')
  return runpy.run_path(file)['get_config'](*filter(None, [preset]))


def of_text(folder: str, work: str):
  """Returns the config of P x G x T x L on prompts of words."""
  *sizes, length = map(int, work.split('x'))
  texts = [f'{i:03d} '.ljust(length, '-') for i in range(sizes[0])]
  file = pathlib.Path(folder) / 'prompts.txt'
  file.write_text('\n'.join(texts))
  config = llm_step.make_config(folder, file, sizes, length)
  config.compute.reward_chunks = 1
  return config


def compare(config, repeats: int) -> dict:
  """Returns figures of both forms on the same rollouts, and their ratios."""
  runs = {name: _build(config, shared) for name, shared in FORMS.items()}
  states = {name: run.init() for name, run in runs.items()}
  times: dict[str, list[dict[str, float]]] = {name: [] for name in FORMS}
  rollouts, losses = [], {}
  for step in range(timing.WARM_UP + repeats):
    for name, run in runs.items():
      key = jax.random.key(step)
      batch = run.prompts_at(step)
      since = time.perf_counter()
      answers = run.rollout(states[name].params, run.frozen, batch, key)
      jax.block_until_ready(answers)
      rollouts.append(time.perf_counter() - since)
      scores = run.reward(batch, run.decode(run.frozen, answers))
      begin = time.perf_counter(), time.process_time()
      states[name], metrics = run.update(
        states[name], run.frozen, answers, scores, batch, key
      )
      losses[name] = float(metrics['loss'])
      end = time.perf_counter(), time.process_time()
      pair = zip(('wall', 'cpu'), begin, end, strict=True)
      times[name].append({kind: b - a for kind, a, b in pair})
  rows = answers['tokens'].shape
  length = batch.condition['tokens'].shape[1]
  figures = {
    name: {
      'tokens': _tokens(rows, length, shared),
      'update': _median(t['wall'] for t in times[name][timing.WARM_UP :]),
      'update_cpu': _median(t['cpu'] for t in times[name][timing.WARM_UP :]),
      'loss': losses[name],
    }
    for name, shared in FORMS.items()
  }
  rollout = _median(rollouts[2 * timing.WARM_UP :])
  for row in figures.values():
    row['step'] = round(row['update'] + rollout, 4)
  before, after = (figures[name] for name in FORMS)
  ratios = {n: round(before[n] / after[n], 2) for n in before if n != 'loss'}
  return {'rollout': rollout} | figures | {'repeated_over_shared': ratios}


def _build(config, shared: bool):
  """Returns a run whose updates share prompts, or repeat them."""
  config = config.copy_and_resolve_references()
  config.compute.shared_prefix = shared
  return builders.build(config, builders.make_mesh(config))


def _tokens(rows: tuple[int, ...], length: int, shared: bool) -> int:
  """Returns the tokens that an update reads, padding included."""
  prompts, count, longest = rows
  return prompts * (length * (1 if shared else count) + count * longest)


def _median(values) -> float:
  return round(statistics.median(values), 4)


if __name__ == '__main__':
  main()
