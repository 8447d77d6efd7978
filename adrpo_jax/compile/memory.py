"""The memory of a program for TPUs, from what its compiler notes beside it.

`memory_analysis()` of a TPU's program says more than it takes: 9.1 GiB of an
update of SD3-medium, which the compiler places in 6.9 and, told that the chip
has 6.5, in 6.3. The notes that it dumps on demand have the size that it holds
against the chip's.
"""

import pathlib
import re
import tempfile
from typing import NamedTuple

import jax


class Held(NamedTuple):
  """Bytes of a chip.

  taken: of HBM, with arguments; by this number the compiler refuses
  alive: the sum of the values alive at one time, at most: without padding,
    those in VMEM too, and those that are written in place twice
  """

  taken: int
  alive: int


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
    alive=_found(folder, 'live-range.txt', r'peak usage: ([\d ]+) bytes'),
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
