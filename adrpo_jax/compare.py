"""Methods × seeds: python -m adrpo_jax.compare --config=... --methods=a,b.

Each run is a run of `adrpo_jax.main` of its own, in WORKDIR/METHOD/seed_K;
finished ones are skipped, and the comparison is written after each one, so the
same command again goes on where it stopped. Other --config.key=value arguments
are handed on to every run, after what `config.compare` changes for its method.
"""

from collections.abc import Sequence
import pathlib
import subprocess
import sys

from absl import flags
from flax.traverse_util import flatten_dict

from adrpo_jax import main as command
from adrpo_jax.compare_report import write_comparison
from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.method.methods import METHODS

_METHODS = flags.DEFINE_list('methods', list(METHODS), 'Rows of the table.')
_SEEDS = flags.DEFINE_integer('seeds', 3, 'Runs of each method: seeds 0, 1, …')


def main(argv: Sequence[str]) -> int:
  """Runs what is not finished, writes the comparison. -> exit status."""
  try:
    config = command.parse(argv)
    workdir = pathlib.Path(flags.FLAGS.workdir or 'runs/comparison')
    for name in _METHODS.value:
      if name not in METHODS:
        raise unknown_name(name, METHODS, 'method')
    if _SEEDS.value < 1:
      raise InputError(f'Expected --seeds of at least 1, got {_SEEDS.value}.')
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  shared = [a for a in argv[1:] if a.startswith('--config')]
  failed = []
  for seed in range(_SEEDS.value):
    for name in _METHODS.value:
      folder = workdir / name / f'seed_{seed}'
      if (folder / 'summary.json').exists():
        continue
      print(f'{name}, seed {seed}: {folder}', flush=True)
      changes = flatten_dict(config.compare.to_dict().get(name, {}), sep='.')
      own = [f'--config.{key}={value}' for key, value in changes.items()]
      status = subprocess.run(
        [
          *(sys.executable, '-m', 'adrpo_jax.main', f'--workdir={folder}'),
          *shared[:1],
          *own,
          *shared[1:],
          f'--config.method.name={name}',
          f'--config.seed={seed}',
        ],
        check=False,
      ).returncode
      if status:
        failed.append(f'{name}, seed {seed} (exit status {status})')
      elif (folder / 'summary.json').exists():
        print(f'comparison: {write_comparison(workdir)}', flush=True)
  if failed:
    print(f'error: failed: {"; ".join(failed)}', file=sys.stderr)
  return 1 if failed else 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
