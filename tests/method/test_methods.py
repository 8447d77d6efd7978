"""The contract table: every row of METHODS through the same checks."""

import inspect
import warnings

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from made_outputs import renoised, trajectory
import numpy as np
import pytest

import adrpo_jax
from adrpo_jax import METHODS
from adrpo_jax.method import transforms
from adrpo_jax.method.table import Row, Table

NAMES = [
  'adrpo',
  'orw_cfm_w2',
  'fixed_w2',
  'nft',
  'ram',
  'awm',
  'raft',
  'rwr',
  'dpo',
  'flow_grpo',
]
P, G = 8, 4
ROWS = [
  (name, preset)
  for name in NAMES
  for preset in ('stable', *(['paper'] if METHODS[name].paper else []))
]


def make(name, preset='stable'):
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # the paper's clip, tested elsewhere
    return adrpo_jax.make_method(name, preset)


def group(method):
  return 2 if 'pairs' in method.needs else G


def batch(method, seed=0):
  """Rewards with a tied prompt and an empty one; a fifth is invalid."""
  rng = np.random.default_rng(seed)
  rewards = rng.integers(0, 5, size=(P, group(method))) / 4
  valid = rng.random(rewards.shape) < 0.8
  rewards[0], valid[0] = 0.25, True
  valid[1] = False
  rewards[2, 0], rewards[2, 1], valid[2] = 0.0, 1.0, True
  rewards = np.where(valid, rewards, np.nan)
  return jnp.asarray(rewards, jnp.float32), jnp.asarray(valid)


def make_outputs(method, shift, seed=0):
  """Outputs of a model with one parameter to a prompt, [P, 1, 1, 1, 1]."""
  sizes = {'seed': seed, 'prompts': P, 'groups': group(method)}
  made = trajectory if 'trajectory' in method.needs else renoised
  start = made(**sizes)
  if 'trajectory' in method.needs:
    return trajectory(start.mean + 1e-2 * shift, **sizes)
  return start._replace(velocity=start.velocity * (1 + shift))


def loss_of(method):
  """(shift, rewards, valid, state, step) -> loss, (weights, state)."""

  def loss(shift, rewards, valid, state, step):
    valid = method.usable(rewards, valid)
    weights, state = adrpo_jax.weigh(
      method.weights, rewards, valid, state, step=step
    )
    outputs = make_outputs(method, shift)
    total = weights.policy[:, :, None] * method.policy_loss(outputs, weights)
    scales = adrpo_jax.divergence_weights(method, weights, valid)
    for term, scale in zip(method.divergences, scales, strict=True):
      anchor = outputs.anchors[term.anchor]
      total += scale[:, :, None] * term.function(outputs, anchor)
    count = jnp.maximum(jnp.sum(valid), 1) * total.shape[2]
    return jnp.sum(total) / count, (weights, scales, state)

  return loss


def initial(method, rewards, valid):
  return method.weights.init(transforms.starting_weights(rewards, valid))


def shifts():
  return 0.05 * jnp.arange(1.0, P + 1).reshape(P, 1, 1, 1, 1)


def test_the_table_has_these_rows():
  assert list(METHODS) == NAMES


@pytest.mark.parametrize(('name', 'preset'), ROWS)
def test_row_compiles_once_with_finite_gradients(name, preset):
  method = make(name, preset)
  traces = []
  loss = loss_of(method)

  def counted(*arguments):
    traces.append(1)
    return loss(*arguments)

  step = jax.jit(jax.value_and_grad(counted, has_aux=True))
  rewards, valid = batch(method)
  state = initial(method, rewards, valid)
  for index in range(3):
    rewards, valid = batch(method, seed=index)
    (value, aux), gradient = step(shifts(), rewards, valid, state, index)
    state = aux[-1]
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    assert np.max(np.abs(gradient)) > 1e-7
  assert len(traces) == 1


@pytest.mark.parametrize('name', NAMES)
def test_row_gives_invalid_samples_no_weight(name):
  method = make(name)
  rewards, valid = batch(method)
  state = initial(method, rewards, valid)
  run = jax.jit(jax.value_and_grad(loss_of(method), has_aux=True))
  (_, (weights, scales, _)), gradient = run(shifts(), rewards, valid, state, 0)
  for weight in (*weights, *scales):
    assert weight.shape == rewards.shape
    assert np.all(np.isfinite(weight))
    np.testing.assert_array_equal(weight[~valid], 0)
  np.testing.assert_array_equal(gradient[1], np.zeros((1, 1, 1, 1)))
  # And the untied, valid prompt is told something.
  assert np.max(np.abs(weights.policy[2])) > 1e-3


@pytest.mark.parametrize('name', NAMES)
def test_row_treats_a_tied_prompt_as_asked(name):
  method = make(name)
  rewards, valid = batch(method)
  usable = method.usable(rewards, valid)
  if 'zero_variance' in adrpo_jax.parameters(name):
    assert usable[0].all()
    masked = adrpo_jax.make_method(name, zero_variance='drop')
    assert not masked.usable(rewards, valid)[0].any()
  else:
    assert usable[0].any() == (name == 'orw_cfm_w2')


@pytest.mark.parametrize('name', NAMES)
def test_row_is_the_same_on_eight_devices(name):
  assert jax.device_count() >= 8, 'tests/conftest.py makes eight CPU devices'
  method = make(name)
  rewards, valid = batch(method)
  arguments = (
    shifts(),
    rewards,
    valid,
    initial(method, rewards, valid),
    jnp.asarray(3),
  )
  step = jax.jit(jax.value_and_grad(loss_of(method), has_aux=True))
  (alone, (weights, *_)), gradient = step(*arguments)
  mesh = jax.make_mesh(
    (8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  sharded = NamedSharding(mesh, PartitionSpec('data'))
  whole = NamedSharding(mesh, PartitionSpec())
  places = (sharded, sharded, sharded, whole, whole)
  arguments = [
    jax.device_put(a, place) for a, place in zip(arguments, places, strict=True)
  ]
  (together, (other, *_)), other_gradient = step(*arguments)
  np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-7)
  for a, b in zip(weights, other, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6)
  scale = np.max(np.abs(gradient))
  np.testing.assert_allclose(
    other_gradient, gradient, rtol=0, atol=1e-5 * scale
  )


@pytest.mark.parametrize('name', NAMES)
def test_row_is_well_formed(name):
  row = METHODS[name]
  assert row.make.__doc__
  assert set(row.paper) <= set(adrpo_jax.parameters(name))
  for parameter in inspect.signature(row.make).parameters.values():
    assert parameter.kind is parameter.KEYWORD_ONLY
    assert isinstance(parameter.default, (bool, int, float, str))
  method = make(name)
  assert (method.name, method.title, method.source) == (
    name,
    row.title,
    row.source,
  )
  assert '20' in row.source
  assert 'arXiv:' in row.source
  assert method.behavior in ('current', 'old', 'base')
  assert method.needs <= {'group', 'pairs', 'shared_noise', 'trajectory'}
  read = adrpo_jax.anchors(method)
  assert set(read) <= {'reference', 'old', 'ema'}
  uses_old = 'old' in read or method.behavior == 'old'
  assert uses_old == (method.old_decay is not None)
  assert ('ema' in read) == (method.ema_decay is not None)


@pytest.mark.parametrize(('name', 'preset'), ROWS)
def test_row_reads_no_anchor_but_those_it_names(name, preset):
  method = make(name, preset)
  outputs = make_outputs(method, shifts())
  named = {key: outputs.anchors[key] for key in adrpo_jax.anchors(method)}
  weights = transforms.starting_weights(*batch(method))
  method.policy_loss(outputs._replace(anchors=named), weights)
  for key in method.policy_anchors:
    less = {k: v for k, v in named.items() if k != key}
    with pytest.raises(KeyError):
      method.policy_loss(outputs._replace(anchors=less), weights)


def test_copies_follow_their_schedules():
  def decays(schedule):
    return [round(float(schedule(t)), 3) for t in range(6)]

  orw = adrpo_jax.make_method('orw_cfm_w2', refresh=3)
  assert decays(orw.old_decay) == [1, 1, 0, 1, 1, 0]
  assert decays(make('ram').old_decay) == [0] * 6
  assert decays(make('awm').old_decay) == [0] * 6
  awm, nft = make('awm').ema_decay, make('nft').old_decay
  for t in (0, 1, 150, 300, 499, 2000):
    np.testing.assert_allclose(awm(t), min(0.3, 0.001 * t), atol=1e-6)
    np.testing.assert_allclose(nft(t), min(0.5, 0.001 * t), atol=1e-6)


def test_adrpo_row_keeps_its_guard_when_beta0_changes():
  rewards, valid = jnp.array([[0.0, 1.0]]), jnp.ones((1, 2), bool)
  for beta0 in (0.1, 0.3):
    method = adrpo_jax.make_method('adrpo', beta0=beta0)
    weights, _ = adrpo_jax.weigh(
      method.weights,
      rewards,
      valid,
      initial(method, rewards, valid),
      step=0,
    )
    clip = 0.9 * beta0
    np.testing.assert_allclose(weights.policy, [[-clip, clip]], rtol=1e-6)
    np.testing.assert_allclose(
      weights.divergence, [[beta0 + clip, beta0 - clip]], rtol=1e-5
    )


def test_paper_clip_warns_and_can_be_allowed():
  with pytest.warns(UserWarning, match='exactly beta0'):
    adrpo_jax.make_method('adrpo', 'paper')
  with pytest.warns(UserWarning, match='above beta0'):
    adrpo_jax.make_method('adrpo', advantage_clip=1.5)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    adrpo_jax.make_method('adrpo', 'paper', allow_unstable=True)


def test_unknown_names_are_answered_with_the_nearest():
  with pytest.raises(ValueError, match=r"method 'adrp'\. Did you mean 'adrpo'"):
    adrpo_jax.make_method('adrp')
  with pytest.raises(ValueError, match=r"preset 'papers'\. .* 'paper'"):
    adrpo_jax.make_method('adrpo', 'papers')
  with pytest.raises(ValueError, match=r"'beta'\. Did you mean 'beta0'"):
    adrpo_jax.make_method('adrpo', beta=1.0)
  with pytest.raises(ValueError, match="zero_variance 'push'"):
    adrpo_jax.make_method('adrpo', zero_variance='push')
  with pytest.raises(ValueError, match='refresh of at least 1'):
    adrpo_jax.make_method('orw_cfm_w2', refresh=0)


def test_a_method_is_one_row():
  """No preset, no title elsewhere, no second table is needed for it."""

  def doubled(*, beta: float = 0.5):
    """2·A⟨(v − u)²⟩ + β⟨(v − v_ref)²⟩."""
    method = adrpo_jax.make_method('fixed_w2', beta=beta)
    twice = transforms.chain(method.weights, transforms.scale_advantages(2.0))
    return method._replace(weights=twice)

  table = Table(METHODS, doubled=Row('Doubled', doubled, 'mine, 2026'))
  assert table.parameters('doubled') == {'beta': 0.5}
  assert table.parameters('doubled', 'paper') == {'beta': 0.5}
  method = table.make_method('doubled', 'paper', beta=0.3)
  assert (method.name, method.title, method.source) == (
    'doubled',
    'Doubled',
    'mine, 2026',
  )
  assert method.divergences[0].anchor == 'reference'
