"""Completions that share one reading of their prompt, against one each."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_decoders import QWEN2, QWEN3

from adrpo_jax import sharding
from adrpo_jax.builders.generators.base import split_by_rows
from adrpo_jax.method.language_methods import LANGUAGE_METHODS
from adrpo_jax.modalities import language
from adrpo_jax.modalities.decoder_model import language_model
from adrpo_jax.models import lora
from adrpo_jax.models.attention_masks import Branches
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.sampling.token_distribution import make_token_distribution
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import PromptBatch, Scores
from adrpo_jax.update import init_state, make_update

P, G, L, T = 4, 4, 9, 6
TOLERANCE = 1e-5


def random_samples(config):
  """Prompts padded on the left and completions, all of unequal lengths."""
  draw = np.random.default_rng(0)
  tokens = draw.integers(1, config.vocab_size, (P, L))
  lengths = np.array([[L], [1], [4], [L - 1]])
  prompts = {'tokens': tokens, 'mask': np.arange(L) >= L - lengths}
  ends = draw.integers(1, T + 1, (P, G, 1))
  ends[0, 0], ends[1, 1] = T, 1
  samples = {
    'tokens': draw.integers(1, config.vocab_size, (P, G, T)),
    'mask': np.arange(T) < ends,
    'log_prob': draw.normal(-3.5, 0.1, (P, G, T)).astype(np.float32),
    'ended': ends[..., 0] < T,
  }
  batch = PromptBatch.of_step(jnp.arange(P), jax.tree.map(jnp.array, prompts))
  return batch, jax.tree.map(jnp.array, samples)


def keep_gradient():
  """An optimizer that moves nothing; its state is the last gradient."""

  def zeros(tree):
    return jax.tree.map(jnp.zeros_like, tree)

  return optax.GradientTransformation(
    zeros, lambda grads, state, params=None: (zeros(grads), grads)
  )


def alone(params, frozen):
  return params


def with_adapters(params, frozen):
  return lora.attach(frozen['reference'], params, 2.0)


def step(shared, config=QWEN2, *, rank=0, parts=1, shape=(1, 1, 1), **compute):
  """Metrics and gradient of an update with prompts shared, or repeated."""
  method = LANGUAGE_METHODS.make_method('adrpo')
  mesh = sharding.make_mesh(*shape, devices=jax.devices()[: np.prod(shape)])
  constrain = partial(split_by_rows, mesh)
  module = Decoder(config, Compute(constrain=constrain, **compute))
  base = decoder_folder.init_params(Decoder(config), jax.random.key(0))
  if rank:
    params = lora.init(base, rank, jax.random.key(1), lora.DECODER)
    params = jax.tree.map(lambda leaf: leaf + 0.02, params)
    materialize = with_adapters
  else:
    params = jax.tree.map(lambda leaf: 1.05 * leaf, base)
    materialize = alone
  settings = language.LanguageSettings(
    model=language_model(module),
    samples_per_prompt=G,
    max_completion_length=T,
    stops=(0,),
    pad=0,
    distribution=make_token_distribution(),
    logits_chunk=4,
    shared_prefix=shared,
    materialize=materialize,
    constrain=constrain,
  )
  prompts, samples = random_samples(config)
  state = init_state(params, method, keep_gradient(), (P, G), averaged=False)
  update = make_update(
    method,
    language.make_modality(method, settings),
    keep_gradient(),
    updates_per_rollout=1,
    microbatches=parts,
    averaging_decay=None,
    materialize=materialize,
  )
  rewards = jax.random.normal(jax.random.key(2), (P, G))
  scores = Scores(rewards, jnp.ones((P, G), bool), {})
  state, frozen = (
    jax.device_put(tree, sharding.tree_shardings(tree, mesh))
    for tree in (state, {'reference': base})
  )
  new, metrics = jax.jit(update)(
    state, frozen, samples, scores, prompts, jax.random.key(0)
  )
  assert bool(metrics['finite'])
  return metrics, new.optimizer


def assert_same(actual, expected):
  """Metrics to TOLERANCE; gradients to TOLERANCE of the largest value."""
  for name in ('loss', 'entropy', 'divergence', 'log_prob_difference'):
    np.testing.assert_allclose(
      actual[0][name], expected[0][name], rtol=TOLERANCE, atol=TOLERANCE
    )
  ours, theirs = map(leaf_names, (actual[1], expected[1]))
  largest = max(float(jnp.abs(leaf).max()) for leaf in theirs.values())
  assert largest > 1e-3
  for name, leaf in theirs.items():
    np.testing.assert_allclose(
      ours[name], leaf, rtol=0, atol=TOLERANCE * largest, err_msg=name
    )


@pytest.fixture(autouse=True)
def highest_precision():
  with jax.default_matmul_precision('highest'):
    yield


@pytest.fixture(scope='module')
def apart():
  """The update of QWEN2 with a prompt for each completion."""
  with jax.default_matmul_precision('highest'):
    return step(False)


def test_a_shared_prompt_gives_the_same_update(apart):
  assert_same(step(True), apart)


@pytest.mark.slow
def test_microbatches(apart):
  assert_same(step(True, parts=2), apart)


@pytest.mark.slow
def test_layers_that_are_scanned_and_computed_again(apart):
  policy = jax.checkpoint_policies.nothing_saveable
  assert_same(step(True, scan_layers=True, remat_policy=policy), apart)


def test_eight_devices(apart):
  assert_same(step(True, shape=(2, 2, 2)), apart)


@pytest.mark.slow
def test_adapters_of_a_decoder_with_normalized_heads():
  assert_same(step(True, QWEN3, rank=2), step(False, QWEN3, rank=2))


def test_completions_do_not_see_each_other():
  """A token moves the states behind it: a prompt's in all completions."""
  module = Decoder(QWEN2)
  params = decoder_folder.init_params(module, jax.random.key(0))
  model, branches = language_model(module), Branches(3, 2, 2)
  mask = jnp.ones((1, 7), bool)
  tokens = jnp.arange(1, 8)[None]
  states = jax.jit(partial(model.states, branches=branches))
  plain = states(params, tokens, mask)
  for changed, moved in ((2, [2, 3, 4, 5, 6]), (3, [3, 4]), (6, [6])):
    other = states(params, tokens.at[0, changed].set(20), mask)
    np.testing.assert_array_equal(
      np.flatnonzero((other != plain).any((0, 2))), moved
    )
