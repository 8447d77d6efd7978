"""Counts the bytes that a compiled program moves, from its optimized HLO text.

XLA's cost analysis counts the body of a loop once and leaves out the
interconnect. Here every instruction counts as often as it runs; the number of
iterations comes from the loop conditions, or from `Loops` where a loop can end
early. A collective counts with the bytes that one chip sends:

  all-gather           (n − 1)/n · output     all-to-all    (n − 1)/n · output
  reduce-scatter       (n − 1)/n · input      permute       output
  all-reduce       2 · (n − 1)/n · input

over groups of n chips, as ring algorithms send them. An asynchronous collective
appears in its start, in its done, and in fusions between them; only the start
counts. Data for other slices is passed whole to the network of the host, in a
send.
"""

from collections.abc import Mapping
import math
import re
from typing import Any, NamedTuple

from adrpo_jax.compile.hlo_module import (
  CALLED,
  OPERAND,
  Instruction,
  Loops,
  computations,
  runs,
)
from adrpo_jax.compile.replica_groups import first_group

KINDS = (
  'all-gather',
  'all-reduce',
  'reduce-scatter',
  'all-to-all',
  'collective-permute',
)

_SIZES = {'pred': 1, 'bf16': 2} | {
  f'{kind}{bits}': max(bits // 8, 1)
  for kind in 'suf'
  for bits in (2, 4, 8, 16, 32, 64)
}
_SHAPE = re.compile(r'([a-z]+\d*)\[([\d,]*)\]')
_PLACED = re.compile(r'([a-z]+\d*)\[([\d,]*)\](\{[^}]*\})?')
_RENAMING = {
  'parameter',
  'constant',
  'tuple',
  'get-tuple-element',
  'bitcast',
  'while',
  'call',
  'conditional',
  'after-all',
  'partition-id',
}
_TO_SLICES = re.compile(r'_xla_megascale_transfer_type="(\w+)"')


class Collective(NamedTuple):
  """One collective of a program.

  kind: one of KINDS.
  group: n, the number of chips in a group; for a send, the number of slices.
  sent: bytes that one chip sends in one execution.
  times: number of executions.
  between: True if it uses the network between slices.
  members: the devices of the first group.
  """

  kind: str
  group: int
  sent: float
  times: int
  between: bool = False
  members: tuple[int, ...] = ()


def collectives(
  text: str, chips: int, slices: int = 1, loops: Loops | None = None
) -> list[Collective]:
  """Returns the collectives of one execution of the program, for one chip.

  Args:
    text: the optimized module.
    chips: the number of chips that run it.
    slices: the number of slices that these chips form.
    loops: of a program with loops that can end early.
  """
  module, entry = computations(text)
  continuations = _continuations(module)
  result = []
  for where, times in runs(module, entry, loops=loops):
    if where in continuations:
      continue
    scatters = 'all-reduce-scatter' in where
    for line in module[where]:
      if line.op == 'send' and (transfer := _TO_SLICES.search(line.rest)):
        kind = transfer[1].lower().replace('_', '-')
        size = float(_bytes(*_SHAPE.findall(line.type)[0]))
        result.append(Collective(kind, slices, size, times, between=True))
        continue
      kind = line.op.removesuffix('-start')
      if kind not in KINDS or line.op.endswith('-done'):
        continue
      kind = 'reduce-scatter' if scatters else kind
      members = first_group(line.rest, chips)
      group = len(members)
      sent = _bytes_sent(kind, line, group)
      between = len({member // (chips // slices) for member in members}) > 1
      result.append(Collective(kind, group, sent, times, between, members))
  return result


def _continuations(module: Mapping[str, list[Instruction]]) -> set[str]:
  """Returns computations that continue a collective started before them."""
  return {
    called
    for lines in module.values()
    for line in lines
    for called in CALLED.findall(line.rest)
    if line.name.startswith('async-collective-done')
    or called.startswith('async_collective_fusion')
  }


def bytes_moved(text: str, loops: Loops | None = None) -> float:
  """Returns the bytes that one execution reads from and writes to HBM.

  Counts operands and results of every instruction outside fusions, except
  instructions that only rename and arrays that the compiler keeps on the chip
  (S(1)). If only a slice of an array is read, such as one of several stacked
  layers in a loop, the slice counts.
  """
  module, entry = computations(text)
  total = 0.0
  for where, times in runs(module, entry, fused=False, loops=loops):
    types = {line.name: line.type for line in module[where]}
    for line in module[where]:
      if line.op not in _RENAMING and not line.op.endswith('-done'):
        total += times * _instruction_bytes(module, line, types)
  return total


def _instruction_bytes(
  module: Mapping[str, list[Instruction]],
  line: Instruction,
  types: Mapping[str, str],
) -> float:
  """Returns the bytes that one instruction reads and writes."""
  operands = OPERAND.findall(line.rest.split('), ')[0])
  read = [_hbm_bytes(types.get(name, '')) for name in operands]
  written = _hbm_bytes(line.type)
  if line.op in ('dynamic-slice', 'slice'):
    return 2 * written
  if line.op == 'dynamic-update-slice':
    return 2 * read[1]
  if line.op in ('copy-start', 'slice-start'):
    # The type holds both ends: (to, from, ...) or ((from), to, ...).
    ends = [m[0] for m in _PLACED.finditer(line.type)][:2]
    part = min(_size(end) for end in ends)
    return sum(part for end in ends if _hbm_bytes(end))
  if line.op.endswith('-start') and line.type.startswith('('):
    return 2 * max(read, default=0.0)  # The type repeats the operand.
  called = re.search(r'calls=%([\w.-]+)', line.rest)
  if line.op == 'fusion' and called:
    within = module.get(called[1], [])
    read = [
      min(_bytes_read(module, within, _parameter(within, index)), size)
      for index, size in enumerate(read)
    ]
    root = within[-1] if within else line
    if root.op == 'dynamic-update-slice':
      update = OPERAND.findall(root.rest)[1]
      inner_types = {inner.name: inner.type for inner in within}
      size = _hbm_bytes(inner_types.get(update, ''))
      written = min(written, size or written)
  return sum(read) + written


def _bytes_read(
  module: Mapping[str, list[Instruction]],
  within: list[Instruction],
  name: str | None,
) -> float:
  """Returns the bytes of array `name` that a fused computation reads.

  Returns infinity if it reads the whole array.
  """
  total = 0.0
  used = False
  for user in within:
    operands = OPERAND.findall(user.rest.split('), ')[0])
    if name not in operands:
      continue
    used = True
    index = operands.index(name)
    called = re.search(r'calls=%([\w.-]+)', user.rest)
    if user.op in ('dynamic-slice', 'slice', 'gather') and index == 0:
      total += _size(user.type)
    elif user.op == 'dynamic-update-slice' and index == 0:
      continue  # Written in place.
    elif user.op == 'bitcast':
      total += _bytes_read(module, within, user.name)
    elif user.op == 'fusion' and called and called[1] in module:
      inner = module[called[1]]
      total += _bytes_read(module, inner, _parameter(inner, index))
    else:
      return math.inf
  return total if used else math.inf


def _parameter(within: list[Instruction], index: int) -> str | None:
  """Returns the name of a parameter of a computation."""
  names = (
    line.name
    for line in within
    if line.op == 'parameter' and line.rest.startswith(f'{index})')
  )
  return next(names, None)


def largest_buffers(text: str, count: int) -> list[dict[str, Any]]:
  """Returns the largest arrays that instructions outside fusions write.

  Each is {'bytes', 'type', 'source'}, where the source is JAX's name of the
  operation. There is one entry for each pair of type and source.
  """
  module, entry = computations(text)
  sizes: dict[tuple[str, str], float] = {}
  for where, _ in runs(module, entry, fused=False):
    for line in module[where]:
      if line.op in _RENAMING or line.type.startswith('('):
        continue
      source = re.search(r'op_name="([^"]*)"', line.rest)
      kind = line.type.partition('{')[0]
      name = kind, source[1][-60:] if source else line.op
      sizes[name] = _hbm_bytes(line.type)
  ordered = sorted(sizes.items(), key=lambda item: -item[1])[:count]
  return [
    {'bytes': size, 'type': kind, 'source': source}
    for (kind, source), size in ordered
  ]


def _size(kind: str) -> float:
  return float(sum(_bytes(*shape) for shape in _SHAPE.findall(kind)))


def _hbm_bytes(kind: str) -> float:
  """Returns the bytes of a result that are in HBM, not in on-chip memory."""
  return float(
    sum(
      _bytes(name, sizes)
      for name, sizes, layout in _PLACED.findall(kind)
      if 'S(' not in layout
    )
  )


def _bytes_sent(kind: str, line: Instruction, group: int) -> float:
  """Returns the bytes that one chip sends.

  A type lists results; the type of a start lists its inputs too.
  """
  shapes = [_bytes(*shape) for shape in _SHAPE.findall(line.type)]
  if line.op == 'collective-permute-start':
    return float(shapes[1])
  if line.op == 'all-gather-start':
    shapes = shapes[1:]
  share = (group - 1) / group
  return {
    'all-gather': share,
    'all-to-all': share,
    'reduce-scatter': share * (group if line.op == 'reduce-scatter' else 1),
    'all-reduce': 2 * share,
    'collective-permute': 1.0,
  }[kind] * sum(shapes)


def _bytes(kind: str, sizes: str) -> int:
  return _SIZES.get(kind, 4) * math.prod(int(s) for s in sizes.split(',') if s)
