"""The training step: what it adds up, leaves alone, compiles."""

import jax
import jax.numpy as jnp
import merged_lora
import numpy as np
import optax
import pytest
import small_run

from adrpo_jax import update
from adrpo_jax.method import methods
from adrpo_jax.tree_names import leaf_names

LORA = {'model__lora_rank': 2}


# With it the change of the parameters is minus their gradient.
SGD = optax.sgd(1.0)


def built(optimizer=None, **changes):
  config = small_run.make_config(**changes)
  return small_run.build(config, optimizer=optimizer)


def shaken_state(run, scale=0.02):
  """A policy that has left its reference."""
  state = run.init()
  params = small_run.shaken(state.params, scale, seed=3)
  placed = jax.tree.map(lambda x, like: like + (x - like), params, state.params)
  return state.replace(params=placed)


def whole(policy):
  """The parameters of a policy, with adapters added to their kernels."""
  base, adapters = merged_lora.split(jax.device_get(policy))
  return jax.device_get(merged_lora.merge(base, adapters, 1.0))


def one_step(run, **made):
  """Parameters before and after a step, and its metrics."""
  state = shaken_state(run)
  before = jax.device_get(state.params)
  after, metrics = run.update(state, *small_run.made_step(run, **made))
  return before, jax.device_get(after), jax.device_get(metrics)


def changes(before, after):
  """Named leaves of after − before."""
  return leaf_names(jax.tree.map(np.subtract, after, before))


def assert_same(a, b):
  for name, leaf in leaf_names(a).items():
    np.testing.assert_array_equal(leaf, leaf_names(b)[name], err_msg=name)


def relative_gap(a, b):
  """max |a − b| / max |b| over all leaves of two trees of changes."""
  gap = max(np.abs(a[name] - b[name]).max() for name in b)
  return gap / max(np.abs(leaf).max() for leaf in b.values())


@pytest.mark.slow
def test_loss_and_gradient_do_not_depend_on_microbatches():
  steps = {
    parts: one_step(
      built(SGD, compute__microbatches=parts, training__updates_per_rollout=1),
      scores=small_run.made_scores(invalid=[(0, 0), (5, 1)]),
    )
    for parts in (1, 4)
  }
  whole, parted = (changes(s[0], s[1].params) for s in steps.values())
  assert max(np.abs(leaf).max() for leaf in whole.values()) > 1e-3
  assert relative_gap(parted, whole) <= 1e-5
  for name in ('loss', 'policy', 'divergence', 'grad_norm'):
    one, four = (steps[parts][2][name] for parts in (1, 4))
    # The loss is a difference of terms of order 0.1.
    assert four == pytest.approx(one, rel=1e-5, abs=1e-6), name


@pytest.mark.slow
def test_nan_leaves_the_state_as_it_was():
  run = built()
  x0 = np.ones((small_run.P, small_run.G, 8, 8, 8), np.float32)
  x0[2, 1] = np.nan
  state = shaken_state(run)
  before = jax.device_get(state)
  after, metrics = run.update(state, *small_run.made_step(run, x0=x0))
  assert not metrics['finite']
  assert np.isnan(metrics['loss'])
  assert_same(before, jax.device_get(after))
  # And the state that was kept goes on as if nothing had been.
  goes_on, metrics = run.update(after, *small_run.made_step(run))
  assert metrics['finite']
  assert int(goes_on.step) == 1


def test_invalid_samples_change_nothing():
  """Neither their reward nor their latents reach the parameters."""
  run = built()
  scores = small_run.made_scores(invalid=[(0, 0), (3, 1), (4, 0), (4, 1)])
  x0 = np.random.default_rng(2).standard_normal(
    (small_run.P, small_run.G, 8, 8, 8)
  )
  _, after, _ = one_step(run, x0=x0, scores=scores)
  others = scores._replace(
    rewards=np.where(scores.valid, scores.rewards, 1e3).astype(np.float32)
  )
  moved = np.where(scores.valid[..., None, None, None], x0, 7.0)
  _, same, metrics = one_step(run, x0=moved, scores=others)
  assert_same(after.params, same.params)
  assert_same(after.optimizer, same.optimizer)
  assert metrics['weights'].policy[~scores.valid].tolist() == [0.0] * 4
  assert metrics['beta'][~scores.valid].tolist() == [0.0] * 4
  assert metrics['counted'] == pytest.approx(12 / 16)


@pytest.mark.slow
def test_a_step_without_any_valid_sample_has_no_loss():
  nothing = small_run.made_scores()._replace(
    valid=np.zeros((small_run.P, small_run.G), bool)
  )
  before, after, metrics = one_step(built(SGD), scores=nothing)
  assert metrics['loss'] == 0
  assert metrics['finite']
  assert_same(before, after.params)


@pytest.mark.slow
def test_several_steps_compile_each_function_once():
  run = built()
  state = run.init()
  for step in range(3):
    prompts = run.prompts_at(step)
    key = jax.random.key(step)
    samples = run.rollout(state.params, run.frozen, prompts, key)
    run.decode(run.frozen, samples)
    state, _ = run.update(
      state, run.frozen, samples, small_run.made_scores(), prompts, key
    )
  assert int(state.step) == 3
  for function in (run.rollout, run.decode, run.update):
    assert function._cache_size() == 1, function


def test_lora_state_holds_adapters_only():
  run = built(**LORA)
  state = run.init()
  names = leaf_names(state.params)
  assert names
  assert all(name.endswith(('/a', '/b')) for name in names)
  adapters = sum(leaf.size for leaf in names.values())
  base = sum(leaf.size for leaf in jax.tree.leaves(run.frozen['reference']))
  assert adapters < base / 10
  # Adam keeps two moments of each adapter, two counters, and nothing else.
  moments = [x for x in jax.tree.leaves(state.optimizer) if x.ndim]
  assert sum(leaf.size for leaf in moments) == 2 * adapters


@pytest.mark.slow
def test_zero_adapters_draw_what_the_base_draws_to_the_last_bit():
  run = built(**LORA)
  whole = built()
  key, prompts = jax.random.key(0), run.prompts_at(0)
  adapted = run.rollout(run.init().params, run.frozen, prompts, key)
  plain = whole.rollout(whole.init().params, whole.frozen, prompts, key)
  assert float(jnp.std(plain['x0'])) > 0.1
  np.testing.assert_array_equal(adapted['x0'], plain['x0'])


@pytest.mark.slow
def test_lora_trains_adapters_and_leaves_the_base():
  run = built(**LORA)
  base = jax.device_get(run.frozen['reference'])
  before, after, metrics = one_step(run)
  moved = changes(before, after.params)
  # B starts at 0, so A has no gradient yet; the last block's text is unread.
  second = [name for name in moved if name.endswith('/b')]
  assert sum(np.abs(moved[name]).max() > 0 for name in second) > 3
  assert metrics['divergence'] > 0  # The reference is the adapters off.
  assert_same(base, jax.device_get(run.frozen['reference']))


@pytest.mark.parametrize(
  ('name', 'copies'),
  [('adrpo', ()), ('nft', ('old',)), ('awm', ('old', 'ema'))],
)
def test_a_state_keeps_the_copies_its_method_reads(name, copies):
  method = methods.make_method(name)
  params = {'w': jnp.arange(3.0)}
  state = update.init_state(
    params, method, optax.sgd(1.0), (4, 2), averaged=False
  )
  assert ('old' in copies) == (state.old is not None)
  assert ('ema' in copies) == (state.ema is not None)
  assert state.averaged is None
  behavior = update.behavior_params(method, state)
  wanted = state.old if method.behavior == 'old' else state.params
  assert behavior is wanted


@pytest.mark.slow
def test_averaged_weights_are_apart_from_those_a_method_reads():
  """awm: ema keeps its own decay, 0 in step 0, beside an average of 0.9."""
  run = built(method__name='awm', training__ema_decay=0.9)
  state = shaken_state(run)
  start = jax.device_get(state.averaged)
  after, _ = run.update(state, *small_run.made_step(run))
  assert_same(jax.device_get(after.ema), jax.device_get(after.params))
  wanted = jax.tree.map(
    lambda old, new: 0.9 * old + 0.1 * np.asarray(new), start, after.params
  )
  moved = changes(start, after.averaged)
  assert max(np.abs(change).max() for change in moved.values()) > 1e-6
  for name, leaf in leaf_names(after.averaged).items():
    np.testing.assert_allclose(leaf, leaf_names(wanted)[name], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('rank', [0, 4])
def test_the_averaged_policy_becomes_the_reference_after_some_steps(rank):
  run = built(
    training__ema_decay=0.5,
    training__reference_sync_steps=2,
    model__lora_rank=rank,
  )
  state = run.init()
  base = jax.device_get(state.reference)
  first, _ = run.update(state, *small_run.made_step(run))
  assert_same(jax.device_get(first.reference), base)
  second, _ = run.update(first, *small_run.made_step(run))
  assert_same(jax.device_get(second.reference), jax.device_get(second.averaged))
  moved = changes(base, jax.device_get(second.reference))
  assert max(np.abs(change).max() for change in moved.values()) > 1e-6


@pytest.mark.slow
def test_the_divergence_is_from_the_reference_that_moves():
  """A policy that is its own reference has none, wherever the base is."""
  options = {'training__updates_per_rollout': 1}
  moving = built(**options, training__reference_sync_steps=5)
  state = shaken_state(moving)
  copied = jax.tree.map(jnp.copy, state.params)
  _, metrics = moving.update(
    state.replace(reference=copied), *small_run.made_step(moving)
  )
  assert float(metrics['divergence']) == pytest.approx(0.0, abs=1e-9)
  fixed = built(**options, training__reference_sync_steps=0)
  assert fixed.init().reference is None
  _, metrics = fixed.update(shaken_state(fixed), *small_run.made_step(fixed))
  assert float(metrics['divergence']) > 1e-5


@pytest.mark.slow
def test_the_copies_move_towards_the_parameters_after_the_step():
  """nft: old <- d·old + (1 − d)·params, d = 0 in step 0, 0.001 in step 1."""
  run = built(method__name='nft')
  state = shaken_state(run)
  first, _ = run.update(state, *small_run.made_step(run))
  assert_same(jax.device_get(first.old), jax.device_get(first.params))
  kept = jax.device_get(first.old)
  second, _ = run.update(first, *small_run.made_step(run))
  decay = np.float32(0.5 / 500)
  wanted = jax.tree.map(
    lambda old, new: decay * old + (1 - decay) * np.asarray(new),
    kept,
    second.params,
  )
  for name, leaf in leaf_names(second.old).items():
    np.testing.assert_allclose(leaf, leaf_names(wanted)[name], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('rank', [0, 4])
def test_the_policy_goes_on_in_the_direction_of_the_average(rank):
  """λ = 2: twice the average less the reference; λ = 1: the average."""
  options = {'training__ema_decay': 0.9, 'model__lora_rank': rank}
  plain = built(**options, training__extrapolation=1.0)
  ahead = built(**options, training__extrapolation=2.0)
  state, frozen = shaken_state(plain), plain.frozen
  state = state.replace(averaged=state.params)
  reference = jax.device_get(frozen['reference'])
  averaged = whole(plain.policy(state, frozen))
  if not rank:
    assert_same(averaged, jax.device_get(state.averaged))
  moved = changes(reference, averaged)
  assert max(np.abs(change).max() for change in moved.values()) > 1e-3
  got = leaf_names(whole(ahead.policy(state, frozen)))
  wanted = leaf_names(jax.tree.map(lambda a, r: 2 * a - r, averaged, reference))
  for name, leaf in got.items():
    np.testing.assert_allclose(leaf, wanted[name], atol=1e-5)


@pytest.mark.slow
def test_an_untrained_policy_is_the_base():
  for rank in (0, 4):
    run = built(model__lora_rank=rank, training__extrapolation=2.0)
    policy, base = run.policy(run.init(), run.frozen), run.frozen['reference']
    assert_same(whole(policy), jax.device_get(base))
    assert bool(merged_lora.split(policy)[1]) == bool(rank)
