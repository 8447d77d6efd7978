"""Runs and compares methods over several seeds.

  python -m adrpo_jax.compare --config=... --methods=a,b

Each run is a process of `adrpo_jax.main` in WORKDIR/METHOD/seed_K. Finished
runs are skipped, and the comparison is written after each run, so the same
command continues after an interruption. When this process is told to stop, its
run saves and ends; when it is killed, its run ends at once. Every run gets the
changes that `config.compare` makes for its method, then the --config.key=value
arguments of the command. A name in `config.compare` that is not a method is a
variant of the method it sets as `method.name`:
{'grpo_without_kl': {'title': 'GRPO without KL',
'method': {'name': 'grpo', 'grpo': {'beta': 0}}}}.

  python -m adrpo_jax.compare --config=... --methods=adrpo,fixed_w2 \\
    --sweep=method.adrpo.beta0=0.02,0.05,0.1 --sweep=method.fixed_w2.beta=...

Runs each method with every combination of the values of its keys, and compares
the fronts of methods over their settings.

  python -m adrpo_jax.compare --benchmark=mmau --answers=A.json --answers=B.json

Compares files of answers question by question, and runs nothing.
"""

from collections.abc import Sequence
import pathlib
import sys

from absl import flags
from etils import epath
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from adrpo_jax import main as command
from adrpo_jax.builders.methods import KEY
from adrpo_jax.compare import sweeps
from adrpo_jax.compare.answer_files import compare_answers
from adrpo_jax.compare.child_runs import ChildRuns
from adrpo_jax.compare.report import write_comparison
from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.report.write import is_written, write_report
from adrpo_jax.system import local_paths
from adrpo_jax.system.going_on import is_of_full_disk
from adrpo_jax.system.joining import check_alone
from adrpo_jax.system.records import read_summary
from adrpo_jax.system.steady_output import steady_output
from adrpo_jax.system.stop_signals import STOPPED, stop_signals
from adrpo_jax.system.user_code import read_calls

_METHODS = flags.DEFINE_list(
  'methods', [], 'Methods or variants to compare; all of the config by default.'
)
_SWEEP = flags.DEFINE_multi_string(
  'sweep', [], 'KEY=VALUE,VALUE,...; the flag may be given several times.'
)
# The beginnings of the flags that every run gets.
_SHARED = ('--config', '--prompts_per_chip', '--eval_prompts_per_chip')
_SEEDS = flags.DEFINE_integer(
  'seeds', 3, 'Number of runs of each method: seeds 0, 1, …'
)


@steady_output()
def main(argv: Sequence[str]) -> int:
  """Runs what is not finished, writes the comparison. Returns exit status.

  It is 0 if all runs are finished, 1 if one has failed, 2 after an error of
  input, and 75 if one was stopped.
  """
  runs = ChildRuns()
  with stop_signals(runs.stop):
    try:
      config = command.parse(argv)
      if models := flags.FLAGS.answers:
        named = flags.FLAGS.benchmark, flags.FLAGS.items
        print(compare_answers(models, *named), flush=True)
        return 0
      check_alone('adrpo_jax.compare')
      folder = local_paths.expanded(flags.FLAGS.workdir or 'runs/comparison')
      entries = contestants(config)
      names = _METHODS.value or list(entries)
      for name in names:
        if name not in entries:
          raise unknown_name(name, entries, 'method')
      if _SEEDS.value < 1:
        raise InputError(f'Expected --seeds of at least 1, got {_SEEDS.value}.')
      keys = flatten_dict(config.to_dict(), sep='.')
      grid = sweeps.expanded(
        {name: entries[name] for name in names},
        sweeps.parse(_SWEEP.value, keys),
      )
      commands = _commands(argv, grid)
      return _compare(pathlib.Path(folder), runs, commands)
    except InputError as error:
      print(f'error: {error}', file=sys.stderr)
      return 2
    except Exception as error:
      if not is_of_full_disk(error):
        raise
      print(
        'error: The disk is full. Finished runs and their checkpoints are '
        'kept. Free some space. To go on, give the same command.',
        file=sys.stderr,
      )
      return 2


def _commands(
  argv: Sequence[str], entries: dict[str, dict[str, object]]
) -> dict[tuple[str, int], list[str]]:
  """Returns (name, seed) -> the arguments of its run, seed after seed."""
  words = command.with_config(argv)
  config, *shared = [word for word in words if word.startswith(_SHARED)]
  return {
    (name, seed): [
      config,
      *(f'--config.{key}={value}' for key, value in changes.items()),
      *shared,
      f'--config.seed={seed}',
    ]
    for seed in range(_SEEDS.value)
    for name, changes in entries.items()
  }


def _compare(
  workdir: pathlib.Path,
  runs: ChildRuns,
  commands: dict[tuple[str, int], list[str]],
) -> int:
  """Runs what is not finished, and writes what is missing. -> exit status."""
  failed, unfinished, written = [], [], False
  for (name, seed), arguments in commands.items():
    folder = workdir / name / f'seed_{seed}'
    if _is_finished(folder):
      if not is_written(folder):
        write_report(folder)
      continue
    print(f'{name}, seed {seed}: {folder}', flush=True)
    status = runs.run([f'--workdir={folder}', *arguments])
    if runs.stopped:
      print('Stopped. To go on, give the same command.', flush=True)
      return STOPPED
    if status == STOPPED:
      unfinished.append(f'{name}, seed {seed}')
    elif status:
      failed.append(f'{name}, seed {seed} (exit status {status})')
    elif _is_finished(folder):
      print(f'comparison: {write_comparison(workdir)}', flush=True)
      written = True
  if not written and any(map(_is_finished, workdir.glob('*/seed_*'))):
    print(f'comparison: {write_comparison(workdir)}', flush=True)
  if failed:
    print(f'error: runs failed: {"; ".join(failed)}', file=sys.stderr)
  if unfinished:
    print(
      f'error: runs were stopped: {"; ".join(unfinished)}. To go on, give the '
      'same command.',
      file=sys.stderr,
    )
  return 1 if failed else STOPPED if unfinished else 0


def _is_finished(folder: pathlib.Path) -> bool:
  """Raises InputError where the summary of a run is damaged."""
  return read_summary(epath.Path(folder)) is not None


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
