"""The number of operations of a traced program: its matrix products.

XLA's cost analysis counts the body of a loop once and leaves out kernels. Here
the body counts once for each iteration; a loop that can end early counts with
its largest number of iterations. A product of [m, k] and [k, n] has 2·m·k·n
operations.
"""

from collections.abc import Callable, Iterator, Sequence
import math
from typing import Any

import jax
from jax.extend import core


def count(
  function: Callable[..., Any],
  *arguments: Any,
  loops: Sequence[int] | None = None,
) -> int:
  """Returns the operations of one call, summed over all devices.

  Args:
    function: what is called.
    arguments: its arguments, or their shapes.
    loops: the iterations of those loops that can end early, in their order;
      None takes the largest number of each.

  Raises:
    ValueError: there are other than `len(loops)` such loops.
  """
  waiting = None if loops is None else list(loops)
  total = _count(jax.make_jaxpr(function)(*arguments).jaxpr, waiting)
  if waiting:
    raise ValueError(f'Expected {len(loops or ())} loops, too few were found.')
  return total


def _count(jaxpr: core.Jaxpr, loops: list[int] | None) -> int:
  return sum(_count_equation(equation, loops) for equation in jaxpr.eqns)


def _count_equation(equation: Any, loops: list[int] | None) -> int:
  name = equation.primitive.name
  if name == 'dot_general':
    (contracted, _), _ = equation.params['dimension_numbers']
    left = equation.invars[0].aval.shape
    inner = math.prod(left[axis] for axis in contracted)
    return 2 * inner * math.prod(equation.outvars[0].aval.shape)
  if name == 'conv_general_dilated':
    kernel = equation.invars[1].aval.shape
    outputs = equation.params['dimension_numbers'].rhs_spec[0]
    inner = math.prod(kernel) // kernel[outputs]
    return 2 * inner * math.prod(equation.outvars[0].aval.shape)
  times = _times(name, equation.params)
  if name == 'while' and loops is not None:
    if not loops:
      raise ValueError('Expected fewer loops that can end early.')
    times, loops = loops.pop(0), None
  within = [_count(inner, loops) for inner in _inner(equation.params)]
  if name == 'cond':
    return max(within, default=0)
  return times * sum(within)


def _times(name: str, params: dict[str, Any]) -> int:
  """Returns how often an equation runs the programs inside it."""
  if name == 'scan':
    return params['length']
  if name == 'while':
    return _limit(params['cond_jaxpr'].jaxpr)
  if name == 'pallas_call':  # A kernel runs once for each block.
    return math.prod(params['grid_mapping'].grid)
  if name == 'shard_map':  # Inside are the shapes of one device.
    return params['mesh'].size
  return 1


def _limit(condition: core.Jaxpr) -> int:
  """Returns the constant that bounds the counter of a loop, 1 without one."""
  limits = [
    int(operand.val)
    for equation in condition.eqns
    if equation.primitive.name == 'lt'
    for operand in equation.invars
    if isinstance(operand, core.Literal)
  ]
  return max(limits, default=1)


def _inner(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
  """Yields the programs that an equation calls."""
  for value in params.values():
    for item in value if isinstance(value, (tuple, list)) else (value,):
      if isinstance(item, core.ClosedJaxpr):
        yield item.jaxpr
      elif isinstance(item, core.Jaxpr):
        yield item
