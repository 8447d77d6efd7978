"""The precision of products that a config asks for, and what `auto` chooses."""

from collections.abc import Callable
import contextlib
import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from adrpo_jax.builders.generators.base import Generator
from adrpo_jax.models import products
from adrpo_jax.types import Array, Modality

Precision = Callable[[], contextlib.AbstractContextManager[Any]]

# compute.products -> what products are traced in
PRECISIONS: dict[str, Precision] = {
  'default': contextlib.nullcontext,  # float32 on a CPU, less on other devices
  'float32': functools.partial(jax.default_matmul_precision, 'float32'),
  'bfloat16': products.in_bfloat16,
}
AUTO = 'auto'
WORTH = 1.5  # products in bfloat16 are taken if they are so many times faster
SIZE = 1024  # of the square matrices that are timed
TRIALS = 5


class Choice(NamedTuple):
  """A precision for `compute.products`, and a line that says why."""

  products: str
  reason: str


def with_products(
  config: ConfigDict,
  mesh: jax.sharding.Mesh,
  stored: str | None = None,
  report: Callable[[str], None] = lambda line: None,
) -> ConfigDict:
  """Returns the config, its `compute.products` chosen where it says auto.

  Args:
    config: of a run.
    mesh: of the run.
    stored: what a run that goes on has chosen before; None for a new one.
    report: told what is chosen, and why.
  """
  if config.compute.products != AUTO:
    return config
  chosen = config.copy_and_resolve_references()
  if stored is None:
    chosen.compute.products, reason = choose(mesh)
    report(reason)
  else:
    chosen.compute.products = stored
  return chosen


def choose(mesh: jax.sharding.Mesh) -> Choice:
  """Measures products of float32 and of bfloat16, on a CPU.

  Other devices keep JAX's default. So do several processes, which may differ in
  what they measure.
  """
  platform = mesh.devices.flat[0].platform
  if platform != 'cpu' or jax.process_count() > 1:
    reason = 'compute.products is default: that of JAX for these devices'
    return Choice('default', f'{reason}.')
  float32, bfloat16 = (_gigaflops(name) for name in ('float32', 'bfloat16'))
  name = 'bfloat16' if bfloat16 > WORTH * float32 else 'float32'
  return Choice(
    name,
    f'compute.products is {name}: {float32:.0f} GFLOP/s in float32, '
    f'{bfloat16:.0f} with operands in bfloat16.',
  )


def in_precision(generator: Generator, precision: str) -> Generator:
  """Returns the generator whose products have a precision of `PRECISIONS`."""
  if precision == 'default':
    return generator
  context = PRECISIONS[precision]

  def traced(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def in_context(*arguments: Any, **keywords: Any) -> Any:
      with context():
        return function(*arguments, **keywords)

    in_context.__name__ = name  # That of the compiled program.
    return in_context

  def of(make: Callable[..., Modality]) -> Callable[..., Modality]:
    def made(*arguments: Any) -> Modality:
      modality = make(*arguments)
      return modality._replace(
        rollout=traced('rollout', modality.rollout),
        decode=traced('decode', modality.decode),
        loss_terms=traced('loss_terms', modality.loss_terms),
      )

    return made

  return generator._replace(
    modality=of(generator.modality),
    drawn=of(generator.drawn),
    evaluated=of(generator.evaluated),
    further={name: of(make) for name, make in generator.further.items()},
  )


def _gigaflops(precision: str) -> float:
  """The speed of a product of square matrices, the best of some trials."""

  @jax.jit
  def product(a: Array, b: Array) -> Array:
    with PRECISIONS[precision]():
      return products.matmul(a, b)

  a = jnp.ones((SIZE, SIZE))
  product(a, a).block_until_ready()  # compiles
  seconds = []
  for _ in range(TRIALS):
    begun = time.perf_counter()
    product(a, a).block_until_ready()
    seconds.append(time.perf_counter() - begun)
  return 2e-9 * SIZE**3 / min(seconds)
