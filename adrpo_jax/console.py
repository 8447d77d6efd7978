"""The command `adrpo-jax`: adrpo-jax train --config=t2i.py:debug.

  train, eval, sample, export, pretrain   python -m adrpo_jax.main --mode=...
  compare                                 python -m adrpo_jax.compare
  compile                                 python -m adrpo_jax.compile
  scaling                                 python -m adrpo_jax.scaling

Arguments behind the word are those of that command line; `--help` lists them.
"""

from collections.abc import Callable, Sequence
import functools
import sys

from adrpo_jax.errors import unknown_name
from adrpo_jax.system.steady_output import steady_output

MODES = ('train', 'eval', 'sample', 'export', 'pretrain')


@steady_output()
def main() -> int:
  """Runs the command that the first argument names. -> exit status."""
  words = sys.argv[1:]
  if not words or words[0] in ('--help', '-h', 'help'):
    print(__doc__)
    return 0
  name, arguments = words[0], words[1:]
  if name not in COMMANDS:
    print(f'error: {unknown_name(name, COMMANDS, "command")}', file=sys.stderr)
    return 2
  if '' not in sys.path:
    sys.path.insert(0, '')  # A user's modules, as `python -m` finds them.
  return COMMANDS[name](arguments)


def _run_mode(name: str, arguments: Sequence[str]) -> int:
  from adrpo_jax import main as command

  return command.main(_as_if('adrpo_jax.main', f'--mode={name}', *arguments))


def _run_compare(arguments: Sequence[str]) -> int:
  from adrpo_jax.compare import __main__ as command

  return command.main(_as_if('adrpo_jax.compare', *arguments))


def _run_compile(arguments: Sequence[str]) -> int:
  from adrpo_jax.compile import __main__ as command

  return command.run(_as_if('adrpo_jax.compile', *arguments))


def _run_scaling(arguments: Sequence[str]) -> int:
  from adrpo_jax.scaling import __main__ as command

  return command.run(_as_if('adrpo_jax.scaling', *arguments))


def _as_if(*words: str) -> list[str]:
  """Sets sys.argv, where flags of configs look too."""
  sys.argv = list(words)
  return sys.argv


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
  **{mode: functools.partial(_run_mode, mode) for mode in MODES},
  'compare': _run_compare,
  'compile': _run_compile,
  'scaling': _run_scaling,
}


if __name__ == '__main__':
  sys.exit(main())
