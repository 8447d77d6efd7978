"""Answers and losses of a language model whose probabilities are known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small_language
from small_language import END, PAD, G, L, P, T

from adrpo_jax.method.language_methods import LANGUAGE_METHODS
from adrpo_jax.types import Scores, Weights
from adrpo_jax.update import init_state, make_update

FROZEN = {'reference': small_language.parameters(1)}
make_method = LANGUAGE_METHODS.make_method
METHODS = {
  'adrpo': make_method('adrpo'),
  'adrpo_raw_k3': make_method('adrpo', kl='k3', guard=False, clip=0.0),
  'adrpo_full': make_method('adrpo', kl='full'),
  'grpo': make_method('grpo'),
  'grpo_without_kl': make_method('grpo', beta=0.0),
  'gspo': make_method('grpo', ratio='sequence'),
  'dapo': make_method('grpo', aggregation='entry_mean', clip_high=0.28),
  'dr_grpo': make_method(
    'grpo',
    aggregation='constant_length',
    max_completion_length=T,
    advantage='centered',
  ),
  'rloo': make_method('rloo'),
}


def drawn(method, key=0, **changes):
  modality = small_language.make(method, **changes)
  params, prompts = small_language.parameters(), small_language.make_prompts()
  samples = jax.jit(modality.rollout)(
    params, FROZEN, prompts, jax.random.key(key)
  )
  return modality, params, prompts, samples


def by_hand(params, prompts, samples):
  """log π of every sampled token, one at a time."""
  found = np.zeros((P, G, T))
  for p, g in np.ndindex(P, G):
    given = prompts.condition
    real = np.asarray(given['tokens'][p])[np.asarray(given['mask'][p])]
    before, first = real[-1], real[0]
    for t in range(T):
      if samples['mask'][p, g, t]:
        logits = params['last'][before] + params['first'][first]
        token = int(samples['tokens'][p, g, t])
        found[p, g, t] = jax.nn.log_softmax(logits)[token]
        before = token
  return found


def test_answers_and_their_log_probabilities():
  _, params, prompts, samples = drawn(METHODS['grpo'])
  assert samples['tokens'].shape == (P, G, T)
  np.testing.assert_allclose(
    samples['log_prob'], by_hand(params, prompts, samples), atol=1e-5
  )
  lengths = np.asarray(samples['mask'].sum(2))
  last = np.take_along_axis(
    np.asarray(samples['tokens']), lengths[..., None] - 1, 2
  )[..., 0]
  np.testing.assert_array_equal(samples['ended'], last == END)
  assert (np.asarray(samples['tokens'])[~samples['mask']] == PAD).all()
  assert len(set(lengths.ravel().tolist())) > 2


@pytest.mark.parametrize('name', METHODS)
def test_training_reads_what_the_rollout_drew(name):
  """Replay: the same log-probabilities, before anything has changed."""
  modality, params, prompts, samples = drawn(METHODS[name])
  weights = Weights(jnp.ones((P, G)), jnp.ones((P, G)))
  terms = jax.jit(modality.loss_terms)(
    params, FROZEN, FROZEN, samples, prompts, weights, None
  )
  assert float(terms.metrics['log_prob_difference'].max()) < 1e-6
  for entry in (terms.policy, *terms.divergences):
    assert entry.shape == (P, G, T)
  np.testing.assert_array_equal(terms.mask, samples['mask'])
  np.testing.assert_allclose(
    jnp.where(samples['mask'], terms.policy, -1.0), -1.0, rtol=1e-5
  )


def updated(method, params, optimizer, *, parts=1, inner=1):
  """(state, the jitted update) of a run from these parameters."""
  state = init_state(params, method, optimizer, (P, G), averaged=False)
  update = make_update(
    method,
    small_language.make(method),
    optimizer,
    updates_per_rollout=inner,
    microbatches=parts,
    averaging_decay=None,
    materialize=lambda params, frozen: params,
  )
  return state, jax.jit(update)


def step_of(method, rewards, params, samples, prompts):
  """Metrics and the gradient, by one step of plain descent at rate 1."""
  state, update = updated(method, params, optax.sgd(1.0))
  scores = Scores(rewards, jnp.ones((P, G), bool), {})
  new, metrics = update(
    state, FROZEN, samples, scores, prompts, jax.random.key(0)
  )
  return metrics, jax.tree.map(jnp.subtract, params, new.params)


def rewards_of(samples):
  """How many answers' tokens are even: something that differs."""
  even = (samples['tokens'] % 2 == 0) & samples['mask']
  return even.sum(2) / T


@pytest.mark.slow
@pytest.mark.parametrize('name', METHODS)
def test_microbatches_change_nothing(name):
  _, params, prompts, samples = drawn(METHODS[name])
  scores = Scores(rewards_of(samples), jnp.ones((P, G), bool), {})
  steps = []
  for parts in (1, 2, 4):
    state, update = updated(
      METHODS[name], params, optax.sgd(1.0), parts=parts, inner=2
    )
    new, _ = update(state, FROZEN, samples, scores, prompts, jax.random.key(0))
    steps.append(new.params)
  for other in steps[1:]:
    for a, b in zip(*map(jax.tree.leaves, (steps[0], other)), strict=True):
      np.testing.assert_allclose(a, b, atol=2e-6)


def test_the_gradient_is_the_policy_gradient():
  """GRPO without KL on policy: Σ A·∇log π, by its definition."""
  _, params, prompts, samples = drawn(METHODS['grpo'])
  rewards = rewards_of(samples)
  _, step = step_of(
    METHODS['grpo_without_kl'], rewards, params, samples, prompts
  )
  mean = rewards.mean(1, keepdims=True)
  advantage = (rewards - mean) / (rewards.std(1, keepdims=True, ddof=1) + 1e-4)
  modality = small_language.make(METHODS['grpo_without_kl'])

  def surrogate(params):
    rows = small_language.model()
    given = prompts.condition
    tokens = jnp.concatenate(
      [
        jnp.repeat(given['tokens'], G, 0),
        samples['tokens'].reshape(-1, T),
      ],
      1,
    )
    mask = jnp.concatenate(
      [jnp.repeat(given['mask'], G, 0), samples['mask'].reshape(-1, T)], 1
    )
    log_p = jax.nn.log_softmax(rows.states(params, tokens, mask))
    chosen = jnp.take_along_axis(log_p[:, L - 1 : -1], tokens[:, L:, None], 2)
    told = jnp.where(samples['mask'], chosen.reshape(P, G, T), 0)
    answers = told.sum(2) / samples['mask'].sum(2)
    return -(advantage * answers).mean()

  expected = jax.grad(surrogate)(params)
  assert modality.entries(samples).shape == (P, G)
  for a, b in zip(*map(jax.tree.leaves, (step, expected)), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_coefficient_that_is_the_same_for_all_is_grpo_to_the_last_bit():
  _, params, prompts, samples = drawn(METHODS['grpo'])
  rewards = rewards_of(samples)
  fixed = make_method('grpo', beta=0.1)
  adaptive = make_method('adrpo', beta0=0.1, scale=0.0, guard=False)
  found = [
    step_of(method, rewards, params, samples, prompts)[1]
    for method in (fixed, adaptive)
  ]
  for a, b in zip(*map(jax.tree.leaves, found), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('name', METHODS)
def test_what_stands_behind_the_end_changes_nothing(name):
  _, params, prompts, samples = drawn(METHODS[name])
  rewards = rewards_of(samples)
  hidden = ~samples['mask']
  assert hidden.any()
  spoiled = samples | {
    'tokens': jnp.where(hidden, 3, samples['tokens']),
    'log_prob': jnp.where(hidden, jnp.nan, samples['log_prob']),
  }
  _, clean = step_of(METHODS[name], rewards, params, samples, prompts)
  metrics, other = step_of(METHODS[name], rewards, params, spoiled, prompts)
  assert bool(metrics['finite'])
  for a, b in zip(*map(jax.tree.leaves, (clean, other)), strict=True):
    np.testing.assert_array_equal(a, b)


def test_groups_without_a_difference_pull_or_do_nothing():
  _, params, prompts, samples = drawn(METHODS['grpo'])
  same = jnp.full((P, G), 0.5)
  pulled, step = step_of(METHODS['adrpo'], same, params, samples, prompts)
  np.testing.assert_allclose(pulled['beta'], 0.1, rtol=1e-6)
  assert max(float(jnp.abs(s).max()) for s in jax.tree.leaves(step)) > 1e-4
  masked = make_method('adrpo', zero_variance='drop')
  _, step = step_of(masked, same, params, samples, prompts)
  assert not any(float(jnp.abs(s).max()) for s in jax.tree.leaves(step))


def test_distinct_answers():
  mask = jnp.array([[[1, 1, 0], [1, 1, 0], [1, 0, 0]]], bool)
  tokens = jnp.array([[[1, 2, 9], [1, 2, 7], [1, 2, 2]]])
  said = small_language.language.distinct_answers(
    {'tokens': tokens, 'mask': mask}
  )
  np.testing.assert_allclose(said, [4 / 6])  # The first two are one answer.


def test_a_group_takes_after_its_rewards():
  """Plain GRPO teaches the tables which tokens earn."""
  method, prompts = METHODS['grpo'], small_language.make_prompts()
  params = small_language.parameters()
  state, update = updated(method, params, optax.adam(0.05))
  rollout = jax.jit(small_language.make(method).rollout)
  seen = []
  for step in range(60):
    key = jax.random.fold_in(jax.random.key(7), step)
    samples = rollout(state.params, FROZEN, prompts, key)
    scores = Scores(rewards_of(samples), jnp.ones((P, G), bool), {})
    state, _ = update(state, FROZEN, samples, scores, prompts, key)
    seen.append(float(scores.rewards.mean()))
  assert np.mean(seen[-10:]) > np.mean(seen[:10]) + 0.3
