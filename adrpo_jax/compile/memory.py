"""The memory of a TPU program, read from the files that its compiler dumps.

`memory_analysis()` of a TPU program returns more than the program needs: for an
update of SD3-medium it returns 9.1 GiB, where the compiler needs 6.9 GiB, and
6.3 GiB when it is told that the chip has 6.5. The dumped files hold the size
that the compiler compares with the memory of the chip.
"""

import pathlib
import re
import tempfile
from typing import NamedTuple

import jax


class MemoryUse(NamedTuple):
  """Bytes of one chip.

  peak: bytes of HBM, arguments included. The compiler refuses a program by this
    number.
  live: the largest sum of values that are live at one time. It leaves padding
    out, includes values in VMEM, and counts values twice that are updated in
    place.
  """

  peak: int
  live: int


def compile_and_measure(
  lowered: jax.stages.Lowered,
) -> tuple[jax.stages.Compiled, MemoryUse]:
  """Compiles a program for a TPU topology and reads its memory use."""
  with tempfile.TemporaryDirectory() as folder:
    program = lowered.compile(compiler_options={'xla_dump_to': folder})
    return program, _memory_use(pathlib.Path(folder))


def _memory_use(folder: pathlib.Path) -> MemoryUse:
  return MemoryUse(
    peak=_dumped_number(
      folder,
      'memory-usage-report.txt',
      r'Memory Space: default.*\nTotal bytes: (\d+)',
    ),
    live=_dumped_number(
      folder, 'live-range.txt', r'peak usage: ([\d ]+) bytes'
    ),
  )


def _dumped_number(folder: pathlib.Path, ending: str, pattern: str) -> int:
  """Returns the number that `pattern` matches in the last file of a kind."""
  for file in sorted(folder.glob(f'*{ending}'), reverse=True):
    if match := re.search(pattern, file.read_text()):
      return int(match[1].replace(' ', ''))
  raise ValueError(
    f'Expected the compiler to write the memory of a program to a file '
    f'*{ending}, found {sorted(file.name for file in folder.iterdir())}. This '
    'libtpu may be newer than this package supports; install the version that '
    "the extra 'adrpo_jax[tpu]' asks for."
  )
