"""The memory of a program for TPUs, from what its compiler notes beside it.

`memory_analysis()` of a TPU's program counts what the placing of temporaries
wastes twice, up to a third of a chip for SD3-medium. The compiler's own notes,
which it dumps on demand, have the size that it holds against the chip's.
"""

import pathlib
import re
import tempfile
from typing import NamedTuple

import jax


class Held(NamedTuple):
  """Bytes of a chip.

  taken: of HBM, arguments and all; what wouldn't fit is refused by it
  in_use: at one time at most, without padding, those in VMEM too
  """

  taken: int
  in_use: int


def compiled(lowered: jax.stages.Lowered) -> tuple[jax.stages.Compiled, Held]:
  """Compiles, for a topology of TPUs, and reads the notes."""
  with tempfile.TemporaryDirectory() as folder:
    done = lowered.compile(compiler_options={'xla_dump_to': folder})
    return done, _noted(pathlib.Path(folder))


def _noted(folder: pathlib.Path) -> Held:
  return Held(
    taken=_found(
      folder,
      'memory-usage-report.txt',
      r'Memory Space: default.*\nTotal bytes: (\d+)',
    ),
    in_use=_found(folder, 'live-range.txt', r'peak usage: ([\d ]+) bytes'),
  )


def _found(folder: pathlib.Path, ending: str, pattern: str) -> int:
  """The number that the last note of a kind says."""
  for file in sorted(folder.glob(f'*{ending}'), reverse=True):
    if told := re.search(pattern, file.read_text()):
      return int(told[1].replace(' ', ''))
  raise ValueError(
    f'Expected the compiler to note a program’s memory in a file *{ending}, '
    f'found {sorted(file.name for file in folder.iterdir())}. This libtpu '
    'may be newer than what is known here; try the version of the tpu extra.'
  )
