"""Compiles a run's programs for TPUs, on a machine without any.

  python -m adrpo_jax.compile --config=configs/t2i.py:sd3_medium \\
    --topology=v5e:4x4 [--num_slices=2] [--prompts_per_chip=2] \\
    [--config.mesh.fsdp=16] [--output=FILE.json]

Needs no weights, only their shapes. Tells whether the programs fit the chips,
what they move and send, and what bounds their speed; writes it as JSON. Needs
libtpu: pip install 'adrpo_jax[tpu]'.
"""

from collections.abc import Sequence
import json
import os
import pathlib
import sys

# Before JAX starts: no TPU is looked for, and several processes may compile.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')

from absl import flags

from adrpo_jax import main
from adrpo_jax.compile import report as compile_report
from adrpo_jax.compile.programs import compiled
from adrpo_jax.errors import InputError
from adrpo_jax.system import libtpu_flags
from adrpo_jax.system.files import replacing

_TOPOLOGY = flags.DEFINE_string(
  'topology', '', 'Chips and their layout: v5e:4x4, v5p:2x2x2, v6e:8x8, ...'
)
_SLICES = flags.DEFINE_integer('num_slices', 1, 'Slices of that topology.')
_PER_CHIP = flags.DEFINE_integer(
  'prompts_per_chip', 0, 'Sets prompts.per_step; 0 leaves the config its own.'
)
_OUTPUT = flags.DEFINE_string('output', '', 'A .json file, and a .txt beside.')


def run(argv: Sequence[str]) -> int:
  """The command line. -> exit status: 1 where a program does not fit."""
  try:
    config = main.parse(argv)
    libtpu_flags.set_flags()
    report = compiled(
      config, _TOPOLOGY.value, _SLICES.value, per_chip=_PER_CHIP.value
    )
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  told = compile_report.table(report)
  print(told)
  if _OUTPUT.value:
    path = pathlib.Path(_OUTPUT.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    report['command'] = ' '.join(['python -m adrpo_jax.compile', *argv[1:]])
    with replacing(path) as new:
      new.write_text(json.dumps(report, indent=1))
    with replacing(path.with_suffix('.txt')) as new:
      new.write_text(f'{report["command"]}\n\n{told}\n')
  return 0 if report['fits'] else 1


if __name__ == '__main__':
  sys.exit(run(sys.argv))
