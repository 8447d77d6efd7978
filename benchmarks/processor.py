"""The processor of a measurement, with what decides how fast it multiplies."""

import os
import pathlib
import platform

# The instruction sets for vectors and matrices, as Linux names them.
SETS = (
  *('avx2', 'fma', 'avx512f', 'avx512_bf16', 'avx512_fp16', 'amx_bf16'),
  *('asimd', 'sve', 'bf16', 'i8mm'),
)


def processor() -> dict[str, str]:
  """Returns the name of this machine's processor, its cores and its sets."""
  file = pathlib.Path('/proc/cpuinfo')
  lines = file.read_text().splitlines() if file.exists() else []
  facts = {
    name.strip(): value.strip()
    for name, _, value in (line.partition(':') for line in reversed(lines))
  }
  words = (facts.get('flags') or facts.get('Features') or '').split()
  family = ', '.join(
    f'{name.removeprefix("cpu ")} {facts[name]}'
    for name in ('cpu family', 'model')
    if name in facts
  )
  name = facts.get('model name') or platform.processor() or platform.machine()
  return {
    'name': f'{name} ({family})' if family else name,
    'cores': str(os.cpu_count()),
    'instructions': ' '.join(word for word in SETS if word in words),
  }
