"""A gradient barrier changes no value, and groups the gradients of a layer."""

import re

import flax.linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.models.compute import Compute, gradient_barrier, stack


class Layer(nn.Module):
  """x + tanh(x·w)·scale·signal."""

  @nn.compact
  def __call__(self, x, signal):
    size = x.shape[-1]
    w = self.param('w', nn.initializers.normal(), (size, size))
    scale = self.param('scale', nn.initializers.ones_init(), (size,))
    return x + jnp.tanh(x @ w) * scale[None] * signal, None


class Model(nn.Module):
  """Two stacks of layers in a row, run by `call`."""

  call: object
  compute: Compute = Compute()

  @nn.compact
  def __call__(self, x, signal):
    for name, count in (('first', 2), ('last', 1)):
      run = stack(Layer, count, self.compute)(name=name)
      x, _ = self.call(run, x, signal)
    return x


def _plain_call(module, *inputs):
  return module(*inputs)


@pytest.mark.parametrize(
  'compute',
  [
    Compute(),
    Compute(scan_layers=True),
    Compute(
      scan_layers=True, remat_policy=jax.checkpoint_policies.nothing_saveable
    ),
  ],
  ids=['unrolled', 'loop', 'recomputed'],
)
def test_values_and_gradients_are_those_of_the_module(compute):
  x, signal = jax.random.normal(jax.random.key(0), (2, 3, 4))
  results = []
  for call in (gradient_barrier, _plain_call):
    model = Model(call, compute)
    params = model.init(jax.random.key(1), x, signal)

    def loss(params, x, signal, model=model):
      return jnp.sum(model.apply(params, x, signal) ** 2)

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
    results.append((params, run(params, x, signal)))
  jax.tree.map(np.testing.assert_array_equal, *results)
  assert np.any(jax.tree.leaves(results[0][1][1][0])[0])


def _tied(trained):
  """The number of gradients that each barrier of the backward pass groups."""
  model = Model(gradient_barrier)
  x, signal = jax.random.normal(jax.random.key(0), (2, 3, 4))
  params = flatten_dict(model.init(jax.random.key(1), x, signal), sep='/')
  learned = {k: v for k, v in params.items() if re.search(trained, k)}

  def loss(learned):
    weights = unflatten_dict(params | learned, sep='/')
    return jnp.sum(model.apply(weights, x, signal) ** 2)

  jaxpr = jax.make_jaxpr(jax.grad(loss))(learned)
  tied = [
    len(line.invars)
    for line in jaxpr.eqns
    if line.primitive.name == 'optimization_barrier'
  ]
  return [count for count in tied if count]


@pytest.mark.parametrize(
  ('trained', 'tied'),
  [
    ('.', [3, 2]),  # What goes on from the last leaves with its w and scale.
    ('scale', [2, 1]),
    ('last/w', [1]),  # Nothing goes on: what comes before is not trained.
    ('first/w', [1, 1]),
  ],
)
def test_a_gradient_goes_on_with_those_of_what_is_trained(trained, tied):
  assert _tied(trained) == tied
