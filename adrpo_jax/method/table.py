"""A table of methods: rows by name, and presets of their parameters."""

from collections.abc import Callable, Mapping
import inspect
from typing import Any, NamedTuple

from adrpo_jax.errors import unknown_name
from adrpo_jax.method.record import Method


class Table(NamedTuple):
  """Methods of one kind of model.

  rows:    name -> factory, whose keyword parameters have their defaults
  presets: name -> preset -> what differs from the defaults; 'stable' is there
           for each
  """

  rows: Mapping[str, Callable[..., Method]]
  presets: Mapping[str, Mapping[str, Mapping[str, Any]]]

  def parameters(self, name: str, preset: str = 'stable') -> dict[str, Any]:
    """All keyword parameters of a method with the values of a preset."""
    _check_name('method', name, self.rows)
    _check_name('preset', preset, self.presets[name])
    signature = inspect.signature(self.rows[name])
    defaults = {key: p.default for key, p in signature.parameters.items()}
    return defaults | dict(self.presets[name][preset])

  def make_method(
    self, name: str, preset: str = 'stable', **overrides: Any
  ) -> Method:
    """The row called `name`, with some parameters of its preset replaced.

    Raises:
      ValueError: no such method, preset or parameter; the nearest is named.
    """
    values = self.parameters(name, preset)
    for key in overrides:
      _check_name(f'parameter of {name}', key, values)
    return self.rows[name](**(values | overrides))


def _check_name(kind: str, name: str, known: Mapping[str, Any]) -> None:
  if name not in known:
    raise unknown_name(name, known, kind)
