"""Repeats the runs of SmolLM2-135M-Instruct, from a folder of `make_folder.py`.

  export PYTHONPATH=.
  python benchmarks/real_model/run.py --model=smollm2 --out=DIR
  python benchmarks/real_model/run.py --model=smollm2 --out=DIR --table

The first trains 10 steps, exports the adapter, measures what it cost elsewhere
(`protect.py`), and writes answers before and after. The second trains METHODS
with three seeds, of 300 steps each, exports and measures each: the comparison
in DIR/comparison.md, what was lost in DIR/lost.md. --jobs=N has N runs at a
time, which share the memory of a GPU. Runs that are finished are skipped, one
that was stopped goes on.

--config.key=value arguments go to every run: --config.steps=100.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
import itertools
import json
import os
import pathlib
import subprocess
import sys

from adrpo_jax.compare.__main__ import contestants
from adrpo_jax.compare.report import write_comparison
from adrpo_jax.system import config_files

HERE = pathlib.Path(__file__).parent
METHODS = (
  *('adrpo', 'adrpo_paper', 'grpo', 'grpo_without_kl', 'dr_grpo', 'rloo'),
  *('dpo', 'adrpo_full'),
)
SHORT = (
  *('--config.steps=10', '--config.eval.num_prompts=32'),
  *('--config.eval.every=0', '--config.checkpoint.every=5'),
)
LOST = ('loss', 'kl', 'entropy', 'answered', 'length')
MEASURES = 'protect.json'  # in the folder of a run
SHARED_MEMORY = 0.8  # of a GPU, for all runs at a time; the rest is PyTorch's


def main() -> None:
  """Runs what the flags say, step by step."""
  flags, changes = _flags()
  strange = [word for word in changes if not word.startswith('--config.')]
  if strange:
    sys.exit(f'Expected --config.KEY=VALUE arguments, got {strange}.')
  if flags.table:
    table(flags, changes)
  else:
    short(flags, changes)


def short(flags: argparse.Namespace, changes: list[str]) -> None:
  """Trains, exports, measures and shows one short run."""
  workdir = flags.out / 'short'
  config = of_config('smollm2_135m', flags.model, [*SHORT, *changes])
  train = ['-m', 'adrpo_jax.main', *config, f'--workdir={workdir}']
  _python(*train)
  _python(*train, '--mode=export')
  measured(flags.model, None, flags.out / 'base.json')
  measured(flags.model, workdir, flags.out / 'short.json')
  _python(
    str(HERE / 'before_after.py'),
    *(f'--base={flags.model}', f'--tuned={workdir}'),
    *(f'--out={flags.out / "answers.md"}', '--prompts=32', '--shown=6'),
  )


def table(flags: argparse.Namespace, changes: list[str]) -> None:
  """Trains methods × seeds, and measures what each run lost elsewhere."""
  config = of_config('compare_smollm2_135m', flags.model, changes)
  entries = contestants(config_files.load(config[0].partition('=')[2]))
  # GPU: each run takes its share of the memory when it starts.
  share = f'{SHARED_MEMORY / flags.jobs:.3f}'
  os.environ.setdefault('XLA_PYTHON_CLIENT_MEM_FRACTION', share)

  def of_run(seed: int, method: str) -> None:
    workdir = flags.out / method / f'seed_{seed}'
    own = [f'--config.{key}={value}' for key, value in entries[method].items()]
    train = ['-m', 'adrpo_jax.main', config[0], *own, *config[1:]]
    train += [f'--config.seed={seed}', f'--workdir={workdir}']
    if not (workdir / 'summary.json').exists():
      _python(*train)
    if not (workdir / 'export').exists():
      _python(*train, '--mode=export')
    measured(flags.model, workdir, workdir / MEASURES)

  measured(flags.model, None, flags.out / 'base.json')
  runs = list(itertools.product(range(flags.seeds), flags.methods))
  with ThreadPoolExecutor(flags.jobs) as pool:
    started = [pool.submit(of_run, *run) for run in runs]
  if any(flags.out.glob(f'*/*/{MEASURES}')):
    write(flags.out, flags.methods)
  for run in started:
    run.result()  # Raises what the run has raised.


def write(folder: pathlib.Path, methods: Sequence[str] = METHODS) -> None:
  """Writes comparison and `lost.md` of the runs of a folder that are there."""
  results = {'base': [json.loads((folder / 'base.json').read_text())]}
  for method in methods:
    files = sorted(folder.glob(f'{method}/seed_*/{MEASURES}'))
    if files:
      results[method] = [json.loads(file.read_text()) for file in files]
  (folder / 'lost.md').write_text(lost(results), encoding='utf-8')
  write_comparison(folder)


def of_config(
  preset: str, model: pathlib.Path, changes: list[str]
) -> list[str]:
  """Returns the arguments of a preset on a folder."""
  path = HERE.parents[1] / 'configs' / 'llm.py'
  return [f'--config={path}:{preset}', f'--config.model.path={model}', *changes]


def measured(
  base: pathlib.Path, tuned: pathlib.Path | None, out: pathlib.Path
) -> dict:
  """Returns the measures of `protect.py`; those of a file that exists."""
  if not out.exists():
    flags = [f'--base={base}', f'--out={out}']
    flags += [f'--tuned={tuned}'] if tuned else []
    _python(str(HERE / 'protect.py'), *flags)
  return json.loads(out.read_text())


def lost(results: dict[str, list[dict]]) -> str:
  """Returns a table in Markdown: the mean over seeds of every measure."""
  lines = [f'| | {" | ".join(LOST)} |', f'|---|{"---:|" * len(LOST)}']
  for name, of_seeds in results.items():
    means = [
      sum(one[key]['mean'] for one in of_seeds) / len(of_seeds) for key in LOST
    ]
    lines.append(f'| {name} | {" | ".join(f"{m:.3f}" for m in means)} |')
  return '\n'.join(lines) + '\n'


def _python(*words: str) -> None:
  print('$ python', *words, flush=True)
  subprocess.run([sys.executable, *words], check=True)


def _flags() -> tuple[argparse.Namespace, list[str]]:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--model', type=pathlib.Path, required=True)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  parser.add_argument('--table', action='store_true', help='methods × seeds')
  parser.add_argument('--seeds', type=int, default=3, help='of the table')
  parser.add_argument('--jobs', type=int, default=1, help='runs at a time')
  parser.add_argument(
    '--methods', type=lambda text: text.split(','), default=METHODS
  )
  flags, changes = parser.parse_known_args()
  flags.model = flags.model.resolve()
  flags.out.mkdir(parents=True, exist_ok=True)
  return flags, changes


if __name__ == '__main__':
  try:
    main()
  except subprocess.CalledProcessError as error:
    sys.exit(error.returncode)
