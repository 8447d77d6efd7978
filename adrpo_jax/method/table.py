"""A table of methods: rows by name, each with all there is to know of it."""

from collections.abc import Callable, Mapping
import inspect
from typing import Any, NamedTuple

from adrpo_jax.errors import unknown_name
from adrpo_jax.method.record import Method

# stable: the defaults. paper: published values, where they differ; what a paper
# leaves open stays at its default.
PRESETS = ('stable', 'paper')


class Row(NamedTuple):
  """A row of a table of methods.

  title:    the name that it is published under
  make:     (keyword parameters, each with its default) -> Method; its docstring
            has the equation
  source:   where it was published
  paper:    parameters of the preset 'paper', where they differ from the default
  from_run: parameters that a run passes, from elsewhere in its config
  """

  title: str
  make: Callable[..., Method]
  source: str
  paper: Mapping[str, Any] = {}
  from_run: tuple[str, ...] = ()


class Table(dict[str, Row]):
  """The methods of one kind of model: name -> row."""

  def parameters(self, name: str, preset: str = 'stable') -> dict[str, Any]:
    """Returns the parameters of a method that a config holds, by a preset.

    Raises:
      ValueError: no such method or preset; the nearest is named.
    """
    row = self._row(name)
    if preset not in PRESETS:
      raise unknown_name(preset, PRESETS, 'preset')
    values = {k: v for k, v in _defaults(row).items() if k not in row.from_run}
    return values | (dict(row.paper) if preset == 'paper' else {})

  def make_method(
    self, name: str, preset: str = 'stable', **overrides: Any
  ) -> Method:
    """Returns a method by a preset, with the given parameters replaced.

    Raises:
      ValueError: no such method, preset or parameter; the nearest is named.
    """
    row, values = self._row(name), self.parameters(name, preset)
    defaults = _defaults(row)
    for key in overrides:
      if key not in defaults:
        raise unknown_name(key, defaults, f'parameter of {name}')
    method = row.make(**(values | overrides))
    return method._replace(name=name, title=row.title, source=row.source)

  def _row(self, name: str) -> Row:
    if name not in self:
      raise unknown_name(name, self, 'method')
    return self[name]


def _defaults(row: Row) -> dict[str, Any]:
  signature = inspect.signature(row.make)
  return {key: p.default for key, p in signature.parameters.items()}
