"""The flow modality: its rollouts and losses, and what does not change them."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np
import pytest
import small_flow
from small_flow import (
  ANCHORS,
  LATENT,
  CountedVelocity,
  G,
  P,
  S,
  close,
  made_up_inputs,
  make_frozen,
  make_prompts,
  options_of,
  parameters,
  run,
  samples_of,
  weights_of,
)

from adrpo_jax.method import methods
from adrpo_jax.modalities import flow, flow_views
from adrpo_jax.sampling import noise_levels, solvers
from adrpo_jax.sampling.keys import sample_keys
from adrpo_jax.types import LossTerms


@pytest.mark.parametrize('name', methods.METHODS)
def test_every_method_gets_its_terms(name):
  method = methods.make_method(name)
  groups = 2 if 'pairs' in method.needs else G
  modality = small_flow.make(method, groups=groups, **options_of(method))
  params = parameters(0)
  samples = samples_of(modality, method, params, groups=groups)
  weights = weights_of(P, groups)
  keys = sample_keys(jax.random.key(8), P, groups)

  def loss(params, anchors):
    terms = modality.loss_terms(
      *(params, make_frozen(), anchors, samples),
      *(make_prompts(P), weights, keys),
    )
    policy = (weights.policy[..., None] * terms.policy).sum()
    return policy + sum(d.sum() for d in terms.divergences), terms

  slopes = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
  (own, others), terms = slopes(params, ANCHORS)
  entries = (P, groups, 4 if 'trajectory' in method.needs else S)
  assert isinstance(terms, LossTerms)
  assert len(terms.divergences) == len(method.divergences)
  assert {'policy', 'divergence', 'divergence_by_sigma'} <= set(terms.metrics)
  for leaf in jax.tree.leaves(terms):
    assert leaf.shape[:3] == entries
    assert leaf.dtype == jnp.float32
    assert jnp.isfinite(leaf).all()
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(own))
  assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(own)) > 0
  assert all((leaf == 0).all() for leaf in jax.tree.leaves(others))


def rollout_of(name, **options):
  """Jitted rollout, and its arguments."""
  modality = small_flow.make(methods.make_method(name), **options)
  params, frozen = parameters(0), make_frozen()
  texts = make_prompts(P)
  return jax.jit(modality.rollout), (params, frozen, texts, jax.random.key(7))


def test_only_steps_with_noise_are_trained():
  rollout, inputs = rollout_of('flow_grpo', transition=solvers.cps(0.7))
  assert jax.eval_shape(rollout, *inputs)['sigma'].shape == (P, G, 3)
  rollout, inputs = rollout_of(
    'flow_grpo', transition=solvers.flow_sde(0.7), trained_steps=(1, 2)
  )
  expected = noise_levels.shifted_sigmas(4, 3.0)[1:3]
  np.testing.assert_array_equal(rollout(*inputs)['sigma'][2, 1], expected)


def test_rollout_solves_from_the_noise_of_each_sample():
  rollout, inputs = rollout_of('adrpo')
  samples = rollout(*inputs)
  assert list(samples) == ['x0']
  assert samples['x0'].dtype == jnp.float32
  params, _, texts, key = inputs
  keys = sample_keys(key, P, G)
  x = jnp.stack(
    [
      jax.random.normal(jax.random.fold_in(key, flow_views.INITIAL), LATENT)
      for key in keys.reshape(-1)
    ]
  )
  text = jnp.repeat(texts.condition['text'], G, axis=0)
  grid = noise_levels.shifted_sigmas(4, 3.0)
  for sigma, after in itertools.pairwise(grid):
    levels = jnp.full(P * G, sigma)
    v = small_flow.velocity(params, x, levels, {'text': text})
    x = x + (after - sigma) * v
  close(samples['x0'], x.reshape(P, G, *LATENT))


@pytest.mark.parametrize('name', ['adrpo', 'dpo', 'flow_grpo'])
def test_prompts_of_a_microbatch_get_the_same_terms(name):
  method = methods.make_method(name)
  groups = 2 if 'pairs' in method.needs else G
  inputs, terms = run(method, parameters(0), groups=groups)
  params, frozen, anchors, *of_prompts = inputs
  part = jax.tree.map(lambda leaf: leaf[1:3], of_prompts)
  modality = small_flow.make(method, **options_of(method))
  got = jax.jit(modality.loss_terms)(params, frozen, anchors, *part)
  expected = jax.tree.map(lambda leaf: leaf[1:3], terms)
  close(got, expected, 1e-5 if name == 'flow_grpo' else 1e-6)


@pytest.mark.parametrize(('name', 'evaluated'), [('awm', 4), ('raft', 2)])
def test_each_distinct_anchor_is_evaluated_once(name, evaluated):
  method, model = methods.make_method(name), CountedVelocity()
  modality = small_flow.make(method, model=model, draws=S)
  jax.eval_shape(modality.loss_terms, *made_up_inputs())
  assert model.rows == evaluated * [P * G * S]


def test_reference_is_optional_where_no_loss_reads_it():
  modality = small_flow.make(methods.make_method('raft'))
  terms = jax.eval_shape(modality.loss_terms, *made_up_inputs({}))
  assert set(terms.metrics) == {'policy'}
  modality = small_flow.make(methods.make_method('nft'))
  given = {'reference': ANCHORS['reference']}
  with pytest.raises(ValueError, match=r"full parameters of \['old'\]"):
    modality.loss_terms(*made_up_inputs(given))


def test_guidance_in_rollout_and_training():
  """The trajectory view runs both: its rollout, then its replay."""
  method, params = methods.make_method('flow_grpo'), parameters(0)
  scales = {'rollout_guidance': 3.0, 'training_guidance': 3.0}
  counted = CountedVelocity()
  inputs, terms = run(method, params, model=counted, **scales)
  assert counted.rows == [2 * P * G] + 2 * [2 * P * G * 4]

  def by_hand(params, x, sigma, condition):
    null = {'text': jnp.full_like(condition['text'], 0.3)}
    without = small_flow.velocity(params, x, sigma, null)
    text = small_flow.velocity(params, x, sigma, condition)
    return without + 3.0 * (text - without)

  expected_inputs, expected = run(method, params, model=by_hand)
  close(inputs[3], expected_inputs[3], 1e-5)
  close(terms, expected, 1e-5)


def test_adapters_are_put_on_the_base():
  def materialize(params, frozen):
    return jax.tree.map(jnp.add, frozen['reference'], params)

  zero = jax.tree.map(jnp.zeros_like, ANCHORS['reference'])
  method = methods.make_method('flow_grpo')
  inputs, terms = run(method, zero, materialize=materialize)
  assert float(terms.metrics['divergence'].max()) == 0
  assert float(terms.metrics['log_prob_difference'].max()) <= 1e-5
  expected, _ = run(method, ANCHORS['reference'])
  close(inputs[3], expected[3])


@pytest.mark.parametrize('name', ['adrpo', 'flow_grpo'])
def test_samples_over_eight_devices_are_those_of_one(name):
  mesh = jax.make_mesh(
    (2, 4), ('data', 'fsdp'), (jax.sharding.AxisType.Auto,) * 2
  )
  rows = NamedSharding(mesh, PartitionSpec(('data', 'fsdp')))
  constrain = functools.partial(
    jax.tree.map, lambda leaf: jax.lax.with_sharding_constraint(leaf, rows)
  )
  method, params = methods.make_method(name), parameters(0)
  expected_inputs, expected = run(method, params, prompts=4)
  everywhere = NamedSharding(mesh, PartitionSpec())
  params = jax.device_put(params, everywhere)
  inputs, terms = run(method, params, prompts=4, constrain=constrain)
  close(inputs[3], expected_inputs[3], 1e-5)
  close(terms, expected, 1e-5)


def test_every_device_holds_its_own_rows_only():
  mesh = jax.make_mesh((8,), ('data',), (jax.sharding.AxisType.Auto,))
  rows = NamedSharding(mesh, PartitionSpec('data'))
  modality = small_flow.make(
    methods.make_method('adrpo'),
    draws=S,
    constrain=lambda tree: jax.lax.with_sharding_constraint(tree, rows),
  )
  params = parameters(0)
  params, frozen, texts, key = jax.device_put(
    (params, make_frozen(), make_prompts(6), jax.random.key(7)),
    NamedSharding(mesh, PartitionSpec()),
  )
  rollout = jax.jit(modality.rollout).lower(params, frozen, texts, key)
  hidden = set(re.findall(r'f32\[(\d+),16\]', rollout.compile().as_text()))
  # 24 samples over 8 devices; 11 is the input width of the weights.
  assert '3' in hidden
  assert '24' not in hidden


def test_one_compilation_for_all_steps():
  modality = small_flow.make(methods.make_method('adrpo'), draws=S)
  rollout, terms = jax.jit(modality.rollout), jax.jit(modality.loss_terms)
  frozen = make_frozen()
  for step in range(3):
    key = jax.random.fold_in(jax.random.key(0), step)
    params = parameters(step)
    texts = make_prompts(P, seed=step)
    samples = rollout(params, frozen, texts, key)
    keys = sample_keys(key, P, G)
    terms(
      params,
      frozen,
      ANCHORS,
      samples,
      texts,
      weights_of(),
      keys,
    )
  assert rollout._cache_size() == terms._cache_size() == 1


def test_decoding_and_diversity_by_hand():
  modality = small_flow.make(methods.make_method('adrpo'))
  x0 = jnp.arange(P * G * 6, dtype=jnp.float32).reshape(P, G, 2, 3)
  images = modality.decode(make_frozen(), {'x0': x0})
  assert images.shape == (P, G, 2, 1, 3)
  np.testing.assert_array_equal(images[:, :, :, 0], 2 * x0)
  # Neighbors differ by 12 everywhere: pairs at 12 (3×), 24 (2×) and 36.
  diversity = modality.measures(images)['diversity_pixel']
  np.testing.assert_allclose(diversity, [20.0] * P, rtol=1e-6)
  same = jnp.broadcast_to(images[:, :1], images.shape)
  np.testing.assert_array_equal(flow.pixel_diversity(same), np.zeros(P))
  np.testing.assert_array_equal(flow.pixel_diversity(images[:, :1]), [0] * P)


def bad(name='adrpo', **options):
  return lambda: small_flow.make(methods.make_method(name), **options)


ERRORS = [
  (bad('flow_grpo'), 'deterministic'),
  (bad('flow_grpo', transition=solvers.flow_sde(0.0)), 'eta > 0'),
  (
    bad('flow_grpo', transition=solvers.cps(0.7), trained_steps=(2, 3)),
    r'\[0, 1, 2\], got \[2, 3\]',
  ),
  (
    bad('flow_grpo', transition=solvers.cps(0.7), rollout_guidance=2.0),
    'one guidance scale for flow_grpo',
  ),
  (bad(sigmas=np.array([1.0, 0.5, 0.6])), 'fall from 1'),
  (bad(sigmas=np.array([0.9, 0.0])), 'fall from 1'),
  (bad(draws=0), 'draws=0'),
  (bad(groups=0), 'samples_per_prompt=0'),
  (bad(training_guidance=0.0), '1 or more'),
]


@pytest.mark.parametrize(('build', 'message'), ERRORS)
def test_bad_settings_are_refused_when_built(build, message):
  with pytest.raises(ValueError, match=message):
    build()
