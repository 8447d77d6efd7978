"""Types of the fields of a model's config: what JSON may hold there.

  hidden_size: Size
  layer_norm_eps: Epsilon
  hidden_act: Annotated[str, OneOf(ACTIVATIONS)]

`files.config_files` reads a field by its type. A constraint has `allows`, and
its text says in an error what is allowed. The limits are far beyond released
models; they end what would take all memory or divide by zero. What fields must
be to each other is checked in the `__post_init__` of a config.
"""

from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple


class Between(NamedTuple):
  """Numbers from `low` to `high`, both included. NaN is not among them."""

  low: float
  high: float

  def allows(self, value: float) -> bool:
    return self.low <= value <= self.high

  def __str__(self) -> str:
    return f'from {self.low:g} to {self.high:g}'


class OneOf:
  """One of a few values."""

  def __init__(self, values: Iterable[Any]):
    self.values = tuple(values)

  def allows(self, value: Any) -> bool:
    return value in self.values

  def __str__(self) -> str:
    return ' or '.join(map(str, self.values))


class Items(NamedTuple):
  """Lists of `low` to `high` items."""

  low: int
  high: int

  def allows(self, value: tuple[Any, ...]) -> bool:
    return self.low <= len(value) <= self.high

  def __str__(self) -> str:
    return f'of {self.low} to {self.high} items'


Size = Annotated[int, Between(1, 2**24)]  # of an axis of a weight
Layers = Annotated[int, Between(1, 1024)]
Pixels = Annotated[int, Between(1, 2**14)]
TokenId = Annotated[int, Between(0, 2**31 - 1)]
Epsilon = Annotated[float, Between(1e-20, 1)]  # of a norm
Theta = Annotated[float, Between(1, 1e20)]  # of rotary embeddings


def check_multiple(name: str, value: int, of: str, base: int) -> None:
  """Checks that one size is a multiple of another.

  Raises:
    ValueError: it is not.
  """
  if value % base:
    raise ValueError(
      f'Expected {name} to be a multiple of {of}, got {value} and {base}.'
    )
