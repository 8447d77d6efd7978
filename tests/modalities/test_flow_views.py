"""What a method's functions are shown of renoised and of replayed samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_flow
from small_flow import (
  ANCHORS,
  LATENT,
  G,
  P,
  S,
  close,
  make_frozen,
  make_prompts,
  options_of,
  parameters,
  samples_of,
  weights_of,
)

from adrpo_jax.method import methods
from adrpo_jax.modalities import flow, flow_views
from adrpo_jax.sampling import noise_levels, solvers
from adrpo_jax.sampling.keys import sample_keys


def seen_by(method, **options):
  """What a policy loss is shown, the samples and the loss terms."""
  shown = []

  def policy_loss(outputs, weights):
    shown.append(outputs)
    return method.policy_loss(outputs, weights)

  options = options_of(method) | options
  spied = method._replace(policy_loss=policy_loss)
  modality = small_flow.make(spied, **options)
  params = parameters(0)
  samples = samples_of(modality, method, params)
  keys = sample_keys(jax.random.key(8), P, G)

  def look(params):
    terms = modality.loss_terms(
      *(params, make_frozen(), ANCHORS, samples),
      *(make_prompts(P), weights_of(), keys),
    )
    return shown.pop(), terms

  outputs, terms = jax.jit(look)(params)
  return outputs, samples, terms


def plain_velocities(params, x, sigma):
  """[P, G, S, *D], with the text of prompt p for all of x[p]."""
  text = np.asarray(make_prompts(P).condition['text'])
  text = np.repeat(text, x.shape[1] * x.shape[2], axis=0)
  rows = x.reshape((-1,) + x.shape[3:])
  v = small_flow.velocity(params, rows, sigma.reshape(-1), {'text': text})
  return v.reshape(x.shape)


def test_renoised_samples_lie_on_the_path_to_their_own_noise():
  outputs, samples, terms = seen_by(methods.make_method('nft'), draws=3)
  assert set(outputs.anchors) == {'old', 'reference'}
  np.testing.assert_array_equal(outputs.x0[:, :, 0], samples['x0'])
  sigma = np.asarray(outputs.sigma)[..., None, None]
  noise = outputs.target + outputs.x0
  mixed = (1 - sigma) * outputs.x0 + sigma * noise
  close(outputs.x_sigma, mixed)
  assert (np.floor(np.asarray(outputs.sigma) * 3) == np.arange(3)).all()
  assert len(np.unique(np.asarray(noise).round(4))) > 0.99 * noise.size
  assert float(noise.std()) == pytest.approx(1, abs=0.1)
  at = (outputs.x_sigma, outputs.sigma)
  close(outputs.velocity, plain_velocities(parameters(0), *at))
  for name in ('old', 'reference'):
    close(outputs.anchors[name], plain_velocities(ANCHORS[name], *at))
  matching = (outputs.velocity - outputs.target) ** 2
  close(terms.metrics['policy'], matching.mean(axis=(3, 4)))
  gap = (outputs.velocity - outputs.anchors['reference']) ** 2
  close(terms.metrics['divergence'], gap.mean(axis=(3, 4)))
  buckets = terms.metrics['divergence_by_sigma']
  close(buckets.value[..., 0], gap.mean(axis=(3, 4)))
  own = np.asarray(outputs.sigma * flow.BUCKETS, int)
  np.testing.assert_array_equal(np.argmax(buckets.weight, -1), own)


def test_shared_noise_is_one_for_a_prompt():
  method = methods.make_method('adrpo')
  shared = method._replace(needs=frozenset({'shared_noise'}))
  outputs, _, _ = seen_by(shared)
  assert outputs.sigma.shape == (P, G, S)
  assert (outputs.sigma == outputs.sigma[:, :1]).all()
  noise = outputs.target + outputs.x0
  close(noise, jnp.broadcast_to(noise[:, :1], noise.shape))
  assert float(jnp.abs(noise[0] - noise[1]).min(axis=(0, 2, 3)).max()) > 0.01
  own, _, _ = seen_by(method)
  assert (own.sigma[:, 0] != own.sigma[:, 1]).all()


@pytest.mark.parametrize(
  'transition',
  [solvers.flow_sde(0.7), solvers.cps(0.7), solvers.dance_sde(0.3)],
)
def test_replay_equals_its_rollout(transition):
  """The rollout and the loss are different programs with equal numbers."""
  method = methods.make_method('flow_grpo')
  params = parameters(0)
  shown = {}

  def policy_loss(outputs, weights):
    del weights
    shown['mean'], shown['std'] = outputs.mean, outputs.std
    return outputs.log_prob

  modality = small_flow.make(
    method._replace(policy_loss=policy_loss),
    sigmas=noise_levels.sd3_sigmas(6),
    transition=transition,
  )
  texts, frozen = make_prompts(P), make_frozen()
  key = jax.random.key(7)
  samples = jax.jit(modality.rollout)(params, frozen, texts, key)
  keys = sample_keys(key, P, G)

  def replay(samples):
    terms = modality.loss_terms(
      params,
      frozen,
      ANCHORS,
      samples,
      texts,
      weights_of(),
      keys,
    )
    return terms, dict(shown)

  terms, inside = jax.jit(replay)(samples)
  difference = float(terms.metrics['log_prob_difference'].max())
  assert difference <= 1e-5

  def noise_of(key):
    solver_key = jax.random.fold_in(key, flow_views.SOLVER)
    step_keys = [
      jax.random.fold_in(solver_key, n) for n in range(samples['x'].shape[2])
    ]
    draws = [jax.random.normal(k, LATENT) for k in step_keys]
    return jnp.stack(draws)

  noise = jax.jit(jax.vmap(jax.vmap(noise_of)))(keys)
  added = inside['std'][..., None, None] * noise
  close(inside['mean'], samples['x_next'] - added)
  np.testing.assert_array_equal(
    samples['x'][:, :, 1:], samples['x_next'][:, :, :-1]
  )


def test_straight_target_of_a_replay():
  _, samples, terms = seen_by(methods.make_method('flow_grpo'))
  params = parameters(0)
  v = plain_velocities(params, samples['x'], samples['sigma'])
  sigma = samples['sigma'][..., None, None]
  straight = (samples['x'] - samples['x0'][:, :, None]) / sigma
  close(terms.metrics['policy'], ((v - straight) ** 2).mean(axis=(3, 4)), 3e-6)
