"""A run on the first of the devices: python -m adrpo_jax.scaling.on_devices N.

What follows N are arguments of `adrpo_jax.main`.
"""

from collections.abc import Sequence
import sys
from typing import overload

import jax

from adrpo_jax import main
from adrpo_jax.errors import InputError


class FirstDevices(Sequence[jax.Device]):
  """The first devices; JAX starts when one is asked for, and no sooner."""

  def __init__(self, count: int) -> None:
    self._count = count

  def __len__(self) -> int:
    return self._count

  @overload
  def __getitem__(self, index: int) -> jax.Device: ...
  @overload
  def __getitem__(self, index: slice) -> Sequence[jax.Device]: ...

  def __getitem__(
    self, index: int | slice
  ) -> jax.Device | Sequence[jax.Device]:
    here = jax.devices()
    if len(here) < self._count:
      raise InputError(
        f'Expected {self._count} devices, as --devices says, found {len(here)} '
        f'of {here[0].device_kind}.'
      )
    return here[: self._count][index]


if __name__ == '__main__':
  number = int(sys.argv.pop(1))
  sys.exit(main.main(sys.argv, FirstDevices(number)))
