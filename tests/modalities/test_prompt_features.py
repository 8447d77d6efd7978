"""Features at places of a prompt, in rollout and update."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_decoders import QWEN2

from adrpo_jax.method.language_methods import LANGUAGE_METHODS
from adrpo_jax.modalities import language
from adrpo_jax.modalities.decoder_model import language_model
from adrpo_jax.modalities.language import PromptFeatures
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.sampling.token_distribution import TokenDistribution
from adrpo_jax.types import PromptBatch, Weights

P, G, L, T, A, AUDIO = 3, 2, 5, 4, 2, 7
D = QWEN2.hidden_size
METHOD = LANGUAGE_METHODS.make_method('grpo')


def random_params(seed):
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype),
    decoder_folder.param_shapes(Decoder(QWEN2)),
  )


def features_of(params, condition):
  """Clips of A features; the tower is a table beside the parameters."""
  return PromptFeatures(
    params['tower']['clips'][condition['clip']], condition['places']
  )


PARAMS = random_params(0) | {
  'tower': {
    'clips': jnp.asarray(np.random.default_rng(1).normal(size=(9, A, D)))
  }
}
FROZEN = {'reference': random_params(2) | {'tower': PARAMS['tower']}}


def make(features=features_of, **changes):
  settings = language.LanguageSettings(
    model=language_model(Decoder(QWEN2), features_of=features),
    samples_per_prompt=G,
    max_completion_length=T,
    stops=(1,),
    pad=0,
    distribution=TokenDistribution(),
  )
  settings = dataclasses.replace(settings, **changes)
  return language.make_modality(METHOD, settings)


def make_prompts(clips=(0, 1, 2)):
  """Two audio tokens in each prompt, the first of which is padded."""
  tokens = jnp.array(
    [[0, 3, AUDIO, AUDIO, 4], *([[2, AUDIO, AUDIO, 3, 5]] * 2)]
  )
  places = jnp.array([[-1, -1, 0, 1, -1], *([[-1, 0, 1, -1, -1]] * 2)])
  mask = jnp.ones((P, L), bool).at[0, 0].set(False)
  condition = {
    'tokens': tokens,
    'mask': mask,
    'places': places,
    'clip': jnp.array(clips),
  }
  return PromptBatch.of_step(jnp.arange(P), condition)


def drawn(prompts, modality=None):
  modality = modality or make()
  return jax.jit(modality.rollout)(PARAMS, FROZEN, prompts, jax.random.key(0))


def terms_of(samples, prompts, modality=None, params=PARAMS):
  modality = modality or make()
  weights = Weights(jnp.ones((P, G)), jnp.ones((P, G)))
  return jax.jit(modality.loss_terms)(
    params, FROZEN, FROZEN, samples, prompts, weights, None
  )


def test_a_feature_stands_in_place_of_a_word():
  """Features that are word embeddings say what the words say."""
  module, params = Decoder(QWEN2), random_params(0)
  tokens = np.array([[3, 9, 8, 2], [3, 4, 8, 2], [5, 6, 7, 1], [5, 7, 6, 1]])
  table = params['params']['embed_tokens']['embedding']
  features = jnp.stack([table[jnp.array([8, 9])], table[jnp.array([6, 7])]])
  places = np.array([[-1, 1, 0, -1], [-1, -1, 0, -1], [-1, 0, 1, -1]])
  places = np.concatenate([places, [[-1, 1, 0, -1]]])
  at, all_real = np.arange(4)[None].repeat(4, 0), np.ones((4, 4), bool)
  hidden = np.where(places >= 0, AUDIO, tokens)
  expected = jax.jit(module.apply)(params, tokens, at, all_real)
  found = jax.jit(module.apply)(params, hidden, at, all_real, features, places)
  np.testing.assert_array_equal(found, expected)


def test_the_update_reads_what_the_rollout_read():
  prompts = make_prompts()
  samples = drawn(prompts)
  terms = terms_of(samples, prompts)
  assert float(terms.metrics['log_prob_difference'].max()) < 2e-6


def test_each_prompt_reads_its_own_clip():
  """Another clip in prompt 1 changes its log-probabilities alone."""
  prompts, other = make_prompts(), make_prompts(clips=(0, 5, 2))
  samples = drawn(prompts)
  before, after = (
    terms_of(samples, p).metrics['divergence'] for p in (prompts, other)
  )
  moved = np.abs(np.where(samples['mask'], after - before, 0)).max((1, 2))
  assert moved[1] > 1e-3
  assert moved[0] == moved[2] == 0
  answers = drawn(other)['log_prob']
  np.testing.assert_array_equal(answers[0], samples['log_prob'][0])
  assert not np.array_equal(answers[1], samples['log_prob'][1])


def test_an_audio_token_in_a_completion_is_a_word():
  """Its own embedding counts, in the rollout's loop and in the update."""
  prompts = make_prompts()
  samples = drawn(prompts)
  samples = samples | {
    'tokens': samples['tokens'].at[:, :, 1].set(AUDIO),
    'mask': jnp.ones((P, G, T), bool),
  }
  found = terms_of(samples, prompts).metrics
  # One token at a time, as the rollout reads them.
  model = language_model(Decoder(QWEN2), features_of=features_of)
  condition = prompts.condition
  functions = model.decode_fns(PARAMS, features_of(PARAMS, condition))
  state, cache = functions.prefill(
    condition['tokens'], condition['mask'], L + T
  )
  state, cache = jnp.repeat(state, G, 0), functions.repeat(cache, G)
  expected = []
  for t in range(T):
    token = samples['tokens'][..., t].reshape(-1)
    log_p = jax.nn.log_softmax(functions.logits(state))
    expected.append(jnp.take_along_axis(log_p, token[:, None], 1)[:, 0])
    state, cache = functions.extend(token, jnp.ones(P * G, bool), cache)
  drift = jnp.abs(jnp.stack(expected, 1).reshape(P, G, T) - samples['log_prob'])
  np.testing.assert_allclose(found['log_prob_difference'], drift, atol=1e-5)


@pytest.mark.slow
def test_features_of_no_place_change_nothing():
  """Text is bit for bit the same with a tower as without one."""
  prompts = make_prompts()
  places = jnp.full((P, L), -1)
  words = prompts.replace(condition=prompts.condition | {'places': places})
  plain = make(language.no_features)
  ours, theirs = drawn(words), drawn(words, plain)
  for name, leaf in theirs.items():
    np.testing.assert_array_equal(ours[name], leaf)
  pairs = (terms_of(ours, words), terms_of(ours, words, plain))
  np.testing.assert_array_equal(*(terms.policy for terms in pairs))


def test_gradients_reach_the_features():
  """Those of the places of both samples of a prompt are summed."""
  model = language_model(Decoder(QWEN2))
  params, prompts = random_params(0), make_prompts()
  rng = np.random.default_rng(3)
  values = jnp.asarray(rng.normal(size=(P, A, D)))
  rows = partial(jnp.repeat, repeats=G, axis=0)
  tokens, mask, places = (
    prompts.condition[name] for name in ('tokens', 'mask', 'places')
  )
  weight = jnp.asarray(rng.normal(size=(P * G, L, D)))

  def loss(values, tokens, mask, places, weight):
    features = PromptFeatures(values, places)
    return (model.states(params, tokens, mask, features) * weight).sum()

  gradient = jax.jit(jax.grad(loss))
  both = gradient(values, rows(tokens), rows(mask), places, weight)
  each = [
    gradient(values, tokens, mask, places, weight[g::G]) for g in range(G)
  ]
  np.testing.assert_allclose(both, sum(each), rtol=1e-4, atol=1e-4)


def test_prefill_is_the_full_pass():
  model, prompts = language_model(Decoder(QWEN2)), make_prompts()
  params, condition = random_params(0), prompts.condition
  features = features_of(PARAMS, condition)

  @jax.jit
  def both(params, tokens, mask):
    last, _ = model.decode_fns(params, features).prefill(tokens, mask, L)
    return last, model.states(params, tokens, mask, features)[:, -1]

  last, full = both(params, condition['tokens'], condition['mask'])
  np.testing.assert_allclose(last, full, atol=1e-5)


def test_a_shared_prompt_has_its_features_once():
  """Loss and gradient, the tower's too, are those of repeated prompts."""
  prompts = make_prompts()
  samples = drawn(prompts)

  def loss(params, shared):
    modality = make(shared_prefix=shared)
    terms = terms_of(samples, prompts, modality, params)
    return terms.policy.sum() + terms.divergences[0].sum()

  (value, gradient), expected = (
    jax.value_and_grad(loss)(PARAMS, shared) for shared in (True, False)
  )
  np.testing.assert_allclose(value, expected[0], rtol=1e-5)
  largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(expected[1]))
  assert np.abs(expected[1]['tower']['clips']).max() > 1e-3 * largest
  jax.tree.map(
    partial(np.testing.assert_allclose, rtol=0, atol=1e-5 * largest),
    gradient,
    expected[1],
  )
