"""Runs and compares methods over several seeds.

  python -m adrpo_jax.compare --config=... --methods=a,b

Each run is a process of `adrpo_jax.main` in WORKDIR/METHOD/seed_K. Finished
runs are skipped, and the comparison is written after each run, so the same
command continues after an interruption. Every run gets the changes that
`config.compare` makes for its method, then the --config.key=value arguments of
the command. A name in `config.compare` that is not a method is a variant of the
method it sets as `method.name`:
{'grpo_without_kl': {'title': 'GRPO without KL',
'method': {'name': 'grpo', 'grpo': {'beta': 0}}}}.
"""

from collections.abc import Sequence
import pathlib
import subprocess
import sys

from absl import flags
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from adrpo_jax import main as command
from adrpo_jax.builders.methods import KEY
from adrpo_jax.compare.report import write_comparison
from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.system.user_code import read_calls

_METHODS = flags.DEFINE_list(
  'methods', [], 'Methods or variants to compare; all of the config by default.'
)
_SEEDS = flags.DEFINE_integer(
  'seeds', 3, 'Number of runs of each method: seeds 0, 1, …'
)


def main(argv: Sequence[str]) -> int:
  """Runs what is not finished, writes the comparison. Returns exit status."""
  try:
    config = command.parse(argv)
    workdir = pathlib.Path(flags.FLAGS.workdir or 'runs/comparison')
    entries = contestants(config)
    names = _METHODS.value or list(entries)
    for name in names:
      if name not in entries:
        raise unknown_name(name, entries, 'method')
    if _SEEDS.value < 1:
      raise InputError(f'Expected --seeds of at least 1, got {_SEEDS.value}.')
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  shared = [a for a in argv[1:] if a.startswith('--config')]
  failed = []
  for seed in range(_SEEDS.value):
    for name in names:
      folder = workdir / name / f'seed_{seed}'
      if (folder / 'summary.json').exists():
        continue
      print(f'{name}, seed {seed}: {folder}', flush=True)
      own = [f'--config.{key}={value}' for key, value in entries[name].items()]
      status = subprocess.run(
        [
          *(sys.executable, '-m', 'adrpo_jax.main', f'--workdir={folder}'),
          *shared[:1],
          *own,
          *shared[1:],
          f'--config.seed={seed}',
        ],
        check=False,
      ).returncode
      if status:
        failed.append(f'{name}, seed {seed} (exit status {status})')
      elif (folder / 'summary.json').exists():
        print(f'comparison: {write_comparison(workdir)}', flush=True)
  if failed:
    print(f'error: runs failed: {"; ".join(failed)}', file=sys.stderr)
  return 1 if failed else 0


def contestants(config: ConfigDict) -> dict[str, dict[str, object]]:
  """Returns name -> the changes to its config by dotted key.

  The first key of each is `method.name`.
  """
  methods = [name for name in config.method if name not in ('name', 'python')]
  methods += [call.name for call in read_calls(config.method.python, KEY)]
  changes = {
    name: {key: value for key, value in change.items() if key != 'title'}
    for name, change in config.compare.to_dict().items()
  }
  return {
    name: {'method.name': name} | flatten_dict(changes.get(name, {}), sep='.')
    for name in dict.fromkeys([*methods, *changes])
  }


if __name__ == '__main__':
  sys.exit(main(sys.argv))
