"""The computations of an optimized HLO module, and how often each runs."""

from collections.abc import Iterator, Mapping
import re
from typing import NamedTuple

_HEAD = re.compile(r'^(?P<entry>ENTRY )?%?(?P<name>[\w.-]+) .*\{$')
_LINE = re.compile(
  r'^\s+(?:ROOT )?%(?P<name>[\w.-]+) = (?P<type>\(.*?\)|\S+) '
  r'(?P<op>[\w-]+)\((?P<rest>.*)$'
)
OPERAND = re.compile(r'%([\w.-]+)')
CALLED = re.compile(r'(?:calls|to_apply|body|condition)=%([\w.-]+)')
_BRANCH = re.compile(r'(?:true|false)_computation=%([\w.-]+)')
_BRANCHES = re.compile(r'branch_computations=\{([^}]*)\}')


class Instruction(NamedTuple):
  """One line of HLO: name, result type, operation and the rest of the line."""

  name: str
  type: str
  op: str
  rest: str


class Loops(NamedTuple):
  """How often the loops of the entry run that can end early.

  iterations: of each, in their order.
  branches: executions of a branch in the first of them, in all.
  """

  iterations: tuple[int, ...]
  branches: int = 0


def computations(text: str) -> tuple[dict[str, list[Instruction]], str]:
  """Parses a module. Returns name -> instructions, and the name of the entry.

  Raises:
    ValueError: the text has no entry, so it is not an HLO module.
  """
  module: dict[str, list[Instruction]] = {}
  entry, current = '', None
  for line in text.splitlines():
    head = _HEAD.match(line)
    if head is not None and '->' in line:
      current = module.setdefault(head['name'], [])
      entry = head['name'] if head['entry'] else entry
    elif current is not None and (match := _LINE.match(line)):
      current.append(Instruction(*match.groups()))
  if not entry:
    raise ValueError('Expected the text of an HLO module, found no ENTRY.')
  return module, entry


def runs(
  module: Mapping[str, list[Instruction]],
  entry: str,
  fused: bool = True,
  loops: Loops | None = None,
) -> Iterator[tuple[str, int]]:
  """Yields (computation, number of executions), starting at the entry.

  With `fused`, it also enters fusions and the functions that reductions apply.
  """
  early = _early_loops(module, entry, loops) if loops else {}
  first = _first_body(module[entry], early)
  waiting, counted = [(entry, 1)], set()
  while waiting:
    where, times = waiting.pop()
    if (where, times) in counted or where not in module:
      continue
    counted.add((where, times))
    yield where, times
    for line in module[where]:
      trips = _trips(module, line.rest) if line.op == 'while' else 1
      if where == entry and line.name in early:
        trips = early[line.name]
      if fused or line.op in ('while', 'call', 'conditional'):
        waiting += [(c, times * trips) for c in CALLED.findall(line.rest)]
    if loops and where == first:
      waiting += [(c, loops.branches) for c in _branches(module[where])]


def _early_loops(
  module: Mapping[str, list[Instruction]], entry: str, loops: Loops
) -> dict[str, int]:
  """Returns name -> iterations of the entry's loops that can end early.

  Raises:
    ValueError: there are other than `len(loops.iterations)` of them.
  """
  found = [
    line.name
    for line in module[entry]
    if line.op == 'while' and not _is_counted(module, line.rest)
  ]
  if len(found) != len(loops.iterations):
    raise ValueError(
      f'Expected {len(loops.iterations)} loops that can end early, found '
      f'{len(found)}.'
    )
  return dict(zip(found, loops.iterations, strict=True))


def _is_counted(module: Mapping[str, list[Instruction]], rest: str) -> bool:
  """Returns True for a loop whose number of iterations is known.

  Its annotation has the number, or its condition is counter < constant alone.
  """
  if 'known_trip_count' in rest:
    return True
  lines = _condition(module, rest)
  if not lines:
    return False
  root = lines[-1]
  if root.op != 'compare' or 'direction=LT' not in root.rest:
    return False
  made_by = {line.name: line.op for line in lines}
  operands = OPERAND.findall(root.rest.partition(')')[0])
  return [made_by.get(name) for name in operands] == [
    'get-tuple-element',
    'constant',
  ]


def _condition(
  module: Mapping[str, list[Instruction]], rest: str
) -> list[Instruction]:
  """Returns the computation that says whether a loop goes on, root last."""
  condition = re.search(r'condition=%([\w.-]+)', rest)
  return module.get(condition[1], []) if condition else []


def _first_body(lines: list[Instruction], early: Mapping[str, int]) -> str:
  """Returns the computation that the first of these loops repeats, or ''."""
  bodies = [
    body[1]
    for line in lines
    if line.name in early and (body := re.search(r'body=%([\w.-]+)', line.rest))
  ]
  return bodies[0] if bodies else ''


def _branches(lines: list[Instruction]) -> list[str]:
  """Returns the computations of which conditionals run one."""
  found = []
  for line in lines:
    if line.op == 'conditional':
      found += _BRANCH.findall(line.rest)
      for listed in _BRANCHES.findall(line.rest):
        found += OPERAND.findall(listed)
  return found


def _trips(module: Mapping[str, list[Instruction]], rest: str) -> int:
  """Returns the iterations of a loop, from its annotation or its condition."""
  count = re.search(r'known_trip_count\D+(\d+)', rest)
  if count:
    return int(count[1])
  limits = [
    int(line.rest.split(')')[0])
    for line in _condition(module, rest)
    if line.op == 'constant' and line.type.startswith('s32[]')
  ]
  return max(limits, default=1)
