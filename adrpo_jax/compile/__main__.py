"""Compiles the programs of a run for TPUs, on a machine without a TPU.

  python -m adrpo_jax.compile --config=configs/t2i.py:sd3_medium \\
    --topology=v5e:4x4 [--num_slices=2] [--prompts_per_chip=2] \\
    [--config.mesh.fsdp=16] [--output=FILE.json]

It needs the shapes of weights, not the weights. It reports whether the programs
fit the chips, how many bytes they read, write and send, and what limits their
speed, and writes the report as JSON. It needs libtpu:
pip install 'adrpo_jax[tpu]'.
"""

from collections.abc import Sequence
import json
import os
import pathlib
import sys

# Set before JAX starts, which must not search for a TPU.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

from absl import flags

from adrpo_jax import main
from adrpo_jax.compile import report as compile_report
from adrpo_jax.compile.programs import compile_stages
from adrpo_jax.errors import InputError
from adrpo_jax.system import libtpu_flags, local_paths
from adrpo_jax.system.files import replacing
from adrpo_jax.system.steady_output import steady_output

_TOPOLOGY = flags.DEFINE_string(
  'topology',
  '',
  'Chips and their layout: v5e:4x4, v5p:2x2x2, v6e:8x8, ...; or the type of a '
  'slice: v5litepod-16, v6e-8, ...',
)
_SLICES = flags.DEFINE_integer('num_slices', 1, 'Number of slices.')
_OUTPUT = flags.DEFINE_string('output', '', 'A .json file; a .txt is added.')


@steady_output()
def run(argv: Sequence[str]) -> int:
  """Runs the command. Returns the exit status: 1 if a program does not fit."""
  try:
    config = main.parse(argv)
    main.choose_method(config)
    libtpu_flags.set_flags()
    report = compile_stages(
      config,
      _TOPOLOGY.value,
      _SLICES.value,
      per_chip=main.PROMPTS_PER_CHIP.value,
    )
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  table = compile_report.table(report)
  print(table)
  if _OUTPUT.value:
    path = pathlib.Path(local_paths.expanded(_OUTPUT.value))
    path.parent.mkdir(parents=True, exist_ok=True)
    report['command'] = ' '.join(['python -m adrpo_jax.compile', *argv[1:]])
    with replacing(path) as new:
      new.write_text(json.dumps(report, indent=1))
    with replacing(path.with_suffix('.txt')) as new:
      text = f'{report["command"]}\n\n{table}\n'
      new.write_text(text, encoding='utf-8')
  return 0 if report['fits'] else 1


if __name__ == '__main__':
  sys.exit(run(sys.argv))
