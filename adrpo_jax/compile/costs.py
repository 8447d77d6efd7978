"""The costs of a compiled TPU program on one chip, and a bound on its time.

  compute  executed operations / peak        recomputed operations included
  memory   bytes moved / HBM bandwidth
  network  bytes of a link / its bandwidth   within a slice, see `links`
           bytes sent / bandwidth            between slices

The largest of these times is a lower bound on the time of one execution. It
gives an upper bound on the model-FLOP utilization (MFU):

  MFU ≤ model operations / (time · peak)     see `model_flops`

These are bounds, not forecasts: they assume that everything overlaps, the axes
of the torus among it, and that every collective uses all links of its axes.
"""

from collections import Counter
import re
from typing import Any

import jax

from adrpo_jax.compile import hlo
from adrpo_jax.compile.chips import GIB, Chip
from adrpo_jax.compile.hlo_module import Loops
from adrpo_jax.compile.links import Torus, axis_loads, links_of
from adrpo_jax.compile.memory import MemoryUse

LARGEST = 8  # number of buffers in a report


def program_costs(
  compiled: jax.stages.Compiled,
  memory_use: MemoryUse,
  *,
  chip: Chip,
  torus: Torus,
  slices: int,
  executed: int,
  model: int,
  loops: Loops | None = None,
) -> dict[str, Any]:
  """Returns the costs of one program as values that JSON can store.

  Args:
    compiled: the program, compiled for a topology of these chips.
    memory_use: the memory of the program.
    chip: the speeds of one chip.
    torus: the places of all devices.
    slices: the number of slices that they form.
    executed: operations of one execution on all chips, see `flops.count`.
    model: operations that the model asks for, see `model_flops`.
    loops: of a program with loops that can end early.
  """
  text, memory = compiled.as_text() or '', compiled.memory_analysis()
  if memory is None:
    raise ValueError(
      'Expected the compiler to report the memory of a program, got None.'
    )
  chips = len(torus.places)
  collectives = hlo.collectives(text, chips, slices, loops)
  within = [c for c in collectives if not c.between]
  between = [c for c in collectives if c.between]
  loads = axis_loads(within, torus)
  moved = hlo.bytes_moved(text, loops)
  seconds = {
    'compute': executed / chips / chip.flops,
    'memory': moved / chip.hbm_rate,
    'interconnect': max(loads.values(), default=0.0) / chip.link_rate,
    'between_slices': _bytes_sent(between) / chip.dcn_rate,
  }
  bound = max(seconds, key=lambda name: seconds[name])
  outside = (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
  )
  return {
    'hbm_peak_bytes': memory_use.peak,
    'hbm_bytes': {
      'arguments': memory.argument_size_in_bytes,
      'outputs': memory.output_size_in_bytes,
      'donated': memory.alias_size_in_bytes,
      'temporaries': memory_use.peak - outside,
      'alive': memory_use.live,
    },
    'flops': executed // chips,
    'model_flops': model // chips,
    'bytes_moved': moved,
    'collectives': _totals(collectives, torus),
    'collective_bytes': _bytes_sent(collectives),
    'link_bytes': loads,
    'roofline': {
      'seconds': seconds,
      'bound': bound,
      'mfu_bound': model / chips / chip.flops / seconds[bound],
    },
    'largest_buffers': hlo.largest_buffers(text, LARGEST),
  }


def refused_costs(error: jax.errors.JaxRuntimeError) -> dict[str, Any]:
  """Returns the costs of a program that needs more memory than a chip has.

  Raises:
    JaxRuntimeError: the compiler refused the program for another reason.
  """
  match = re.search(r'total memory required[^(]*\((\d+\.?\d*)G\)', str(error))
  if 'RESOURCE_EXHAUSTED' not in str(error) or match is None:
    raise error
  return {
    'hbm_peak_bytes': int(float(match[1]) * GIB),
    'refused': str(error).splitlines()[0],
  }


def _bytes_sent(collectives: list[hlo.Collective]) -> float:
  return sum(c.sent * c.times for c in collectives)


def _totals(
  collectives: list[hlo.Collective], torus: Torus
) -> list[dict[str, Any]]:
  """Returns sums over collectives of one kind, group size and network.

  `links` are those that a group uses along each axis of the torus.
  """
  count: Counter[tuple[Any, ...]] = Counter()
  sent: Counter[tuple[Any, ...]] = Counter()
  for c in collectives:
    places = [] if c.between else [torus.places[i] for i in c.members]
    links = tuple(links_of(places, torus).items())
    count[c.kind, c.group, c.between, links] += c.times
    sent[c.kind, c.group, c.between, links] += int(c.sent * c.times)
  return [
    {
      'kind': kind,
      'group': group,
      'between_slices': between,
      'links': dict(links),
      'count': count[kind, group, between, links],
      'bytes': total,
    }
    for (kind, group, between, links), total in sent.most_common()
  ]
