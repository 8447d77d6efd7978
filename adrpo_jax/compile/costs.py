"""What a compiled TPU program costs a chip, and the time that allows.

  compute  executed operations / peak        executed: with what is recomputed
  memory   bytes moved / HBM bandwidth
  network  bytes sent / bandwidth            within a slice, and between slices

The largest of them bounds the time of a run from below, and with it

  MFU ≤ model operations / (time · peak)     model: without what is recomputed

It is a bound, not a forecast: it lets everything overlap, and a collective have
all links of the torus.
"""

from collections import Counter
import re
from typing import Any

import jax

from adrpo_jax.compile import hlo
from adrpo_jax.compile.chips import GIB, Chip
from adrpo_jax.compile.memory import Held

LARGEST = 8  # buffers that a report lists


def costs(
  compiled: jax.stages.Compiled,
  held: Held,
  *,
  chip: Chip,
  chips: int,
  slices: int,
  executed: int,
  model: int,
) -> dict[str, Any]:
  """The costs of one program, as plain values.

  Args:
    compiled: for a topology of these chips.
    held: its memory.
    chip: what one of them can do.
    chips: how many.
    slices: of which the network joins so many.
    executed: operations of a run on all chips, see `flops.count`.
    model: those that the model asks for, without recomputation.
  """
  text, memory = compiled.as_text() or '', compiled.memory_analysis()
  if memory is None:
    raise ValueError('The compiler tells nothing of the memory of a program.')
  found = hlo.collectives(text, chips, slices)
  within = [c for c in found if not c.between]
  between = [c for c in found if c.between]
  moved = hlo.bytes_moved(text)
  seconds = {
    'compute': executed / chips / chip.flops,
    'memory': moved / chip.hbm_rate,
    'interconnect': _sent(within) / chip.ici_rate,
    'between_slices': _sent(between) / chip.dcn_rate,
  }
  bound = max(seconds, key=lambda name: seconds[name])
  outside = (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
  )
  return {
    'hbm_peak_bytes': held.taken,
    'hbm_bytes': {
      'arguments': memory.argument_size_in_bytes,
      'outputs': memory.output_size_in_bytes,
      'donated': memory.alias_size_in_bytes,
      'temporaries': held.taken - outside,
      'alive': held.alive,
    },
    'flops': executed // chips,
    'model_flops': model // chips,
    'bytes_moved': moved,
    'collectives': _listed(found),
    'collective_bytes': _sent(found),
    'roofline': {
      'seconds': seconds,
      'bound': bound,
      'mfu_bound': model / chips / chip.flops / seconds[bound],
    },
    'largest_buffers': hlo.largest(text, LARGEST),
  }


def refused(error: jax.errors.JaxRuntimeError) -> dict[str, Any]:
  """Of a program that the compiler refuses, since it exceeds the memory.

  Raises:
    JaxRuntimeError: it was refused for another reason.
  """
  told = re.search(r'total memory required[^(]*\((\d+\.?\d*)G\)', str(error))
  if 'RESOURCE_EXHAUSTED' not in str(error) or told is None:
    raise error
  return {
    'hbm_peak_bytes': int(float(told[1]) * GIB),
    'refused': str(error).splitlines()[0],
  }


def _sent(found: list[hlo.Collective]) -> float:
  return sum(c.sent * c.times for c in found)


def _listed(found: list[hlo.Collective]) -> list[dict[str, Any]]:
  """Added up by kind, size of group, and network."""
  count: Counter[tuple[str, int, bool]] = Counter()
  sent: Counter[tuple[str, int, bool]] = Counter()
  for c in found:
    count[c.kind, c.group, c.between] += c.times
    sent[c.kind, c.group, c.between] += int(c.sent * c.times)
  return [
    {
      'kind': kind,
      'group': group,
      'between_slices': between,
      'count': count[kind, group, between],
      'bytes': total,
    }
    for (kind, group, between), total in sent.most_common()
  ]
