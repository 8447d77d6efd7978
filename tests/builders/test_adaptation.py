"""What is judged, drawn and saved has all of what was trained."""

import types

import jax
import jax.numpy as jnp
import merged_lora
import numpy as np
import pytest

from adrpo_jax.builders import adaptation
from adrpo_jax.models import lora
from adrpo_jax.models.layers import Linear

X = jax.random.normal(jax.random.key(0), (64, 256))


def frozen_base(dtype):
  kernel = 0.1 * jax.random.normal(jax.random.key(1), (256, 256))
  dense = {'kernel': kernel.astype(dtype)}
  return {'reference': {'params': {'to_q': {'dense': dense}}}}


def adapters_of(frozen, share):
  """Adapters whose ΔW is this share of W, with a scale of 2."""
  pairs = lora.init(frozen['reference'], 4, jax.random.key(2), 'to_q')
  ((name, pair),) = pairs.items()
  up = jax.random.normal(jax.random.key(3), pair['b'].shape)
  kernel = frozen['reference']['params']['to_q']['dense']['kernel']
  size = jnp.linalg.norm(kernel.astype(jnp.float32))
  factor = share * size / jnp.linalg.norm(2.0 * pair['a'] @ up)
  return {name: {'a': pair['a'], 'b': factor * up}}


def applied(tree):
  layer = {'params': tree['params']['to_q']}
  return Linear(256, use_bias=False).apply(layer, X)


@pytest.mark.parametrize('extrapolation', [1.0, 1.3])
@pytest.mark.parametrize('share', [1e-3, 3e-3, 1e-2])
def test_a_bfloat16_base_loses_nothing_of_a_small_adapter(share, extrapolation):
  """Rounded to bfloat16, the sum is off by 81, 50 and 18 % of it."""
  frozen = frozen_base(jnp.bfloat16)
  adapters = adapters_of(frozen, share)
  adapted = adaptation.low_rank(4, 8.0, 'to_q')
  policy = jax.jit(adapted.policy, static_argnums=2)
  got = applied(policy(adapters, frozen, extrapolation))
  base = applied(frozen['reference'])
  wanted = applied(
    merged_lora.merge(frozen['reference'], adapters, 2.0 * extrapolation)
  )
  kept = jnp.sum((got - base) * (wanted - base)) / jnp.sum((wanted - base) ** 2)
  assert abs(float(kept) - 1) < 1e-3
  assert jnp.linalg.norm(got - wanted) < 1e-2 * jnp.linalg.norm(wanted - base)


def test_rollout_and_evaluation_apply_one_tree():
  frozen = frozen_base(jnp.bfloat16)
  adapters = adapters_of(frozen, 1e-3)
  adapted = adaptation.low_rank(4, 8.0, 'to_q')
  rolled, judged = (
    adapted.materialize(adapters, frozen),
    adapted.policy(adapters, frozen, 1.0),
  )
  assert jax.tree.structure(rolled) == jax.tree.structure(judged)
  for a, b in zip(*map(jax.tree.leaves, (rolled, judged)), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('extrapolation', [1.0, 1.3])
def test_whole_weights_are_judged_and_saved_as_float32(extrapolation):
  """λ·W + (1−λ)·W_ref, with W_ref in bfloat16, rounds nothing."""
  frozen = frozen_base(jnp.bfloat16)
  adapted = adaptation.ALL_WEIGHTS
  start = adapted.trainable(frozen['reference'], jax.random.key(0))
  noise = jax.random.normal(jax.random.key(4), (256, 256))
  params = jax.tree.map(lambda leaf: leaf + 1e-4 * noise, start)
  wanted = jax.tree.map(
    lambda a, b: np.float64(b) + extrapolation * (np.float64(a) - b),
    *jax.device_get((params, start)),
  )['params']['to_q']['dense']['kernel']
  saved = []
  generator = types.SimpleNamespace(save=lambda full, _: saved.append(full))
  exported = adapted.exported(params, frozen, extrapolation)
  adapted.save(exported, extrapolation, generator, None)
  for tree in (adapted.policy(params, frozen, extrapolation), *saved):
    kernel = tree['params']['to_q']['dense']['kernel']
    assert kernel.dtype == jnp.float32
    np.testing.assert_allclose(kernel, wanted, rtol=0, atol=1e-7)
