"""What a compiled program moves: the text of its optimized HLO, counted.

XLA's own cost analysis counts the body of a loop once and says nothing of the
interconnect. Here every instruction counts as often as it runs, which the
loops' conditions tell, and a collective is what a chip sends:

  all-gather           (n − 1)/n · output     all-to-all    (n − 1)/n · output
  reduce-scatter       (n − 1)/n · input      permute       output
  all-reduce       2 · (n − 1)/n · input

over groups of n chips, as rings do it. An asynchronous collective stands in its
start, in its done, and in fusions between that it goes on beside: the start
counts. What goes to other slices is handed to the host's network whole, in a
send.
"""

from collections.abc import Iterator, Mapping
import math
import re
from typing import Any, NamedTuple

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
_HEAD = re.compile(r'^(?P<entry>ENTRY )?%?(?P<name>[\w.-]+) .*\{$')
_LINE = re.compile(
  r'^\s+(?:ROOT )?%(?P<name>[\w.-]+) = (?P<type>\(.*?\)|\S+) '
  r'(?P<op>[\w-]+)\((?P<rest>.*)$'
)
_SHAPE = re.compile(r'([a-z]+\d*)\[([\d,]*)\]')
_PLACED = re.compile(r'([a-z]+\d*)\[([\d,]*)\](\{[^}]*\})?')
_OPERAND = re.compile(r'%([\w.-]+)')
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
_CALLED = re.compile(r'(?:calls|to_apply|body|condition)=%([\w.-]+)')


class Instruction(NamedTuple):
  """A line of HLO: its name, result type, operation and the rest of it."""

  name: str
  type: str
  op: str
  rest: str


class Collective(NamedTuple):
  """One collective of a program.

  kind: as in KINDS.
  group: n, the chips that take part together.
  sent: bytes that a chip sends each time.
  times: how often it runs.
  between: whether over the network between slices; of a send, n is of slices.
  """

  kind: str
  group: int
  sent: float
  times: int
  between: bool = False


def computations(text: str) -> tuple[dict[str, list[Instruction]], str]:
  """(name -> instructions, the name of the entry) of a module's text.

  Raises:
    ValueError: no entry: this is no HLO module.
  """
  found: dict[str, list[Instruction]] = {}
  entry, current = '', None
  for line in text.splitlines():
    head = _HEAD.match(line)
    if head is not None and '->' in line:
      current = found.setdefault(head['name'], [])
      entry = head['name'] if head['entry'] else entry
    elif current is not None and (match := _LINE.match(line)):
      current.append(Instruction(*match.groups()))
  if not entry:
    raise ValueError('Expected the text of an HLO module, found no ENTRY.')
  return found, entry


def collectives(text: str, chips: int, slices: int = 1) -> list[Collective]:
  """All collectives that one run of the program executes, on each chip.

  Args:
    text: the optimized module.
    chips: how many it runs on,
    slices: and on how many slices these are.
  """
  module, entry = computations(text)
  going_on = _going_on(module)
  found = []
  for where, times in _runs(module, entry):
    if where in going_on:
      continue
    scatters = 'all-reduce-scatter' in where
    for line in module[where]:
      if line.op == 'send' and (handed := _TO_SLICES.search(line.rest)):
        kind = handed[1].lower().replace('_', '-')
        size = float(_bytes(*_SHAPE.findall(line.type)[0]))
        found.append(Collective(kind, slices, size, times, between=True))
        continue
      kind = line.op.removesuffix('-start')
      if kind not in KINDS or line.op.endswith('-done'):
        continue
      kind = 'reduce-scatter' if scatters else kind
      group = _group(line.rest, chips)
      sent = _sent(kind, line, group)
      between = group > chips // slices
      found.append(Collective(kind, group, sent, times, between))
  return found


def _going_on(module: Mapping[str, list[Instruction]]) -> set[str]:
  """The computations in which a collective that was started before goes on."""
  return {
    called
    for lines in module.values()
    for line in lines
    for called in _CALLED.findall(line.rest)
    if line.name.startswith('async-collective-done')
    or called.startswith('async_collective_fusion')
  }


def bytes_moved(text: str) -> float:
  """Bytes that one run reads from and writes to a chip's memory.

  Operands and results of every instruction outside fusions, but for those that
  only rename, and arrays that the compiler keeps on the chip (S(1)). Of an
  array that is only sliced, as of stacked layers in a loop, the slice counts.
  """
  module, entry = computations(text)
  total = 0.0
  for where, times in _runs(module, entry, fused=False):
    types = {line.name: line.type for line in module[where]}
    for line in module[where]:
      if line.op not in _RENAMING and not line.op.endswith('-done'):
        total += times * _moved(module, line, types)
  return total


def _moved(
  module: Mapping[str, list[Instruction]],
  line: Instruction,
  types: Mapping[str, str],
) -> float:
  """Bytes that one instruction reads and writes."""
  operands = _OPERAND.findall(line.rest.split('), ')[0])
  read = [_held(types.get(name, '')) for name in operands]
  written = _held(line.type)
  if line.op in ('dynamic-slice', 'slice'):
    return 2 * written
  if line.op == 'dynamic-update-slice':
    return 2 * read[1]
  if line.op in ('copy-start', 'slice-start'):
    # The type names both ends: (to, from, ...) and ((from), to, ...).
    ends = [m[0] for m in _PLACED.finditer(line.type)][:2]
    part = min(_size(end) for end in ends)
    return sum(part for end in ends if _held(end))
  if line.op.endswith('-start') and line.type.startswith('('):
    return 2 * max(read, default=0.0)  # The type repeats the operand.
  called = re.search(r'calls=%([\w.-]+)', line.rest)
  if line.op == 'fusion' and called:
    within = module.get(called[1], [])
    read = [
      min(_read(module, within, _parameter(within, place)), size)
      for place, size in enumerate(read)
    ]
    root = within[-1] if within else line
    if root.op == 'dynamic-update-slice':
      update = _OPERAND.findall(root.rest)[1]
      held = {inner.name: inner.type for inner in within}
      written = min(written, _held(held.get(update, '')) or written)
  return sum(read) + written


def _read(
  module: Mapping[str, list[Instruction]],
  within: list[Instruction],
  name: str | None,
) -> float:
  """Bytes that a fused computation reads of its array `name`.

  Infinite where it reads all of it, however large that is.
  """
  total = 0.0
  used = False
  for user in within:
    operands = _OPERAND.findall(user.rest.split('), ')[0])
    if name not in operands:
      continue
    used = True
    place = operands.index(name)
    called = re.search(r'calls=%([\w.-]+)', user.rest)
    if user.op in ('dynamic-slice', 'slice', 'gather') and place == 0:
      total += _size(user.type)
    elif user.op == 'dynamic-update-slice' and place == 0:
      continue  # Written in place.
    elif user.op == 'bitcast':
      total += _read(module, within, user.name)
    elif user.op == 'fusion' and called and called[1] in module:
      inner = module[called[1]]
      total += _read(module, inner, _parameter(inner, place))
    else:
      return math.inf
  return total if used else math.inf


def _parameter(within: list[Instruction], place: int) -> str | None:
  """The name of a computation's operand."""
  named = (
    line.name
    for line in within
    if line.op == 'parameter' and line.rest.startswith(f'{place})')
  )
  return next(named, None)


def largest(text: str, count: int) -> list[dict[str, Any]]:
  """The largest arrays that instructions outside fusions write.

  -> [{'bytes', 'type', 'source'}], one of each type and source, a source being
  the name that JAX gave the operation.
  """
  module, entry = computations(text)
  found: dict[tuple[str, str], float] = {}
  for where, _ in _runs(module, entry, fused=False):
    for line in module[where]:
      if line.op in _RENAMING or line.type.startswith('('):
        continue
      source = re.search(r'op_name="([^"]*)"', line.rest)
      kind = line.type.partition('{')[0]
      name = kind, source[1][-60:] if source else line.op
      found[name] = _held(line.type)
  ordered = sorted(found.items(), key=lambda item: -item[1])[:count]
  return [
    {'bytes': size, 'type': kind, 'source': source}
    for (kind, source), size in ordered
  ]


def _size(kind: str) -> float:
  return float(sum(_bytes(*shape) for shape in _SHAPE.findall(kind)))


def _held(kind: str) -> float:
  """Bytes of a result that are in the memory of the chip, not on it."""
  return float(
    sum(
      _bytes(name, sizes)
      for name, sizes, layout in _PLACED.findall(kind)
      if 'S(' not in layout
    )
  )


def _runs(
  module: Mapping[str, list[Instruction]], entry: str, fused: bool = True
) -> Iterator[tuple[str, int]]:
  """(computation, how often it runs), from the entry downwards.

  fused: go into fusions too, and into what reductions apply.
  """
  waiting, counted = [(entry, 1)], set()
  while waiting:
    where, times = waiting.pop()
    if (where, times) in counted or where not in module:
      continue
    counted.add((where, times))
    yield where, times
    for line in module[where]:
      trips = _trips(module, line.rest) if line.op == 'while' else 1
      if fused or line.op in ('while', 'call', 'conditional'):
        waiting += [(c, times * trips) for c in _CALLED.findall(line.rest)]


def _trips(module: Mapping[str, list[Instruction]], rest: str) -> int:
  """How often a loop runs: as the compiler says, or as it compares."""
  known = re.search(r'known_trip_count\D+(\d+)', rest)
  if known:
    return int(known[1])
  condition = re.search(r'condition=%([\w.-]+)', rest)
  lines = module.get(condition[1], []) if condition else []
  limits = [
    int(line.rest.split(')')[0])
    for line in lines
    if line.op == 'constant' and line.type.startswith('s32[]')
  ]
  return max(limits, default=1)


def _sent(kind: str, line: Instruction, group: int) -> float:
  """Bytes that a chip sends. Types are of results; starts hold inputs too."""
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


def _group(rest: str, chips: int) -> int:
  """The number of chips in a replica group, in any of its notations."""
  listed = re.search(r'replica_groups=\{\{([\d,]+)\}', rest)
  if listed:
    return listed[1].count(',') + 1
  iota = re.search(r'replica_groups=\[(\d+),(\d+)\]', rest)
  if iota:
    return int(iota[2])
  named = re.search(r'replica_groups=mesh\[([^\]]*)\][^{}]*\{([^}]*)\}', rest)
  if named:
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", named[1]))
    axes = re.findall(r"'(\w+)'", named[2])
    return math.prod(int(sizes[axis]) for axis in axes)
  return chips
