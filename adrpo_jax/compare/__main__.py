"""Methods × seeds: python -m adrpo_jax.compare --config=... --methods=a,b.

Each run is a run of `adrpo_jax.main` of its own, in WORKDIR/METHOD/seed_K;
finished ones are skipped, and the comparison is written after each one, so the
same command again goes on where it stopped. Other --config.key=value arguments
are handed on to every run, after what `config.compare` changes for its method.
A name of `config.compare` that is no method is a variant of the one that it
names: {'grpo_without_kl': {'method': {'name': 'grpo', 'grpo': {'beta': 0}}}}.
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
  'methods', [], 'Rows of the table, or variants; all there are if not given.'
)
_SEEDS = flags.DEFINE_integer('seeds', 3, 'Runs of each method: seeds 0, 1, …')


def main(argv: Sequence[str]) -> int:
  """Runs what is not finished, writes the comparison. -> exit status."""
  try:
    config = command.parse(argv)
    workdir = pathlib.Path(flags.FLAGS.workdir or 'runs/comparison')
    known = contestants(config)
    names = _METHODS.value or list(known)
    for name in names:
      if name not in known:
        raise unknown_name(name, known, 'method')
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
      own = [f'--config.{key}={value}' for key, value in known[name].items()]
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
    print(f'error: failed: {"; ".join(failed)}', file=sys.stderr)
  return 1 if failed else 0


def contestants(config: ConfigDict) -> dict[str, dict[str, object]]:
  """Name -> what its runs change, by dotted key, `method.name` first."""
  methods = [name for name in config.method if name not in ('name', 'python')]
  methods += [call.name for call in read_calls(config.method.python, KEY)]
  changes = config.compare.to_dict()
  return {
    name: {'method.name': name} | flatten_dict(changes.get(name, {}), sep='.')
    for name in dict.fromkeys([*methods, *changes])
  }


if __name__ == '__main__':
  sys.exit(main(sys.argv))
