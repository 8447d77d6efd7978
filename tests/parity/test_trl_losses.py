"""Compares the losses of GRPO and DPO, and their gradients, with TRL.

Where TRL differs by definition:
- bnpo divides by the tokens of a microbatch, ours by those of the whole step,
  as dapo does; the two are one where a step is one microbatch.
- dapo divides by the tokens of a rollout, shared out evenly over the optimizer
  steps on it. Here a rollout is one step.
- `delta` bounds the ratio of good samples too. Above 1 + ε_high their clip has
  bounded it before.
- With importance_sampling_level='sequence' its ratio multiplies the KL too,
  where ours keeps the token's; so GSPO is compared with plain k3.
- scale_rewards='batch' divides by the deviation with n − 1, ours with n.
- A sample without a reward stays in TRL's denominators, with A = 0, and leaves
  ours. Here all have one.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('trl')

from closeness import TOLERANCE, check_gradients, distance
from one_step import make_samples, our_step
import tiny_decoders
import tiny_trl
from tiny_trl import ANSWERS, REWARDS, WINNERS, G, P, T

from adrpo_jax.method import advantages
from adrpo_jax.method.language_methods import LANGUAGE_METHODS
from adrpo_jax.modalities import language
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder import weight_table as decoder_table
from adrpo_jax.models.decoder.decoder import (
  Decoder,
  output_embedding,
  position_ids,
)
from adrpo_jax.models.files import weight_table

pytestmark = pytest.mark.parity
make_method = LANGUAGE_METHODS.make_method

BETA = 0.3  # so that the KL weighs about as much as the surrogate
# Settings of TRL's GRPOConfig, and those of ours that mean the same.
GRPO = {
  'grpo': ({'loss_type': 'grpo'}, {}),
  'k3': (
    {'loss_type': 'grpo', 'use_bias_correction_kl': False},
    {'kl': 'k3'},
  ),
  'no_kl': ({'loss_type': 'grpo', 'beta': 0.0}, {'beta': 0.0}),
  'dual_clip': ({'loss_type': 'grpo', 'delta': 1.4}, {'dual_clip': 1.4}),
  'bnpo': ({'loss_type': 'bnpo'}, {'aggregation': 'entry_mean'}),
  'dapo': (
    {'loss_type': 'dapo', 'epsilon_high': 0.28, 'temperature': 0.8},
    {'aggregation': 'entry_mean', 'clip_high': 0.28},
  ),
  'dr_grpo': (
    {
      'loss_type': 'dr_grpo',
      'scale_rewards': 'none',
      'max_completion_length': T + 3,
    },
    {
      'aggregation': 'constant_length',
      'max_completion_length': T + 3,
      'advantage': 'centered',
    },
  ),
  'gspo': (
    {
      'loss_type': 'grpo',
      'importance_sampling_level': 'sequence',
      'epsilon': 0.04,
      'epsilon_high': 0.06,
      'use_bias_correction_kl': False,
    },
    {'ratio': 'sequence', 'clip_low': 0.04, 'clip_high': 0.06, 'kl': 'k3'},
  ),
}


class Policy(NamedTuple):
  reference: Any  # folder
  old: dict  # weights that have drawn the answers
  current: dict  # weights of the loss
  folder: Any  # of the current weights


@pytest.fixture(scope='module')
def policy(tmp_path_factory):
  folder = tmp_path_factory.mktemp('policy')
  model = tiny_decoders.theirs('Qwen2')
  model.save_pretrained(folder / 'reference')
  old = tiny_trl.moved(model.state_dict(), 0.05, 1)
  current = tiny_trl.moved(old, 0.03, 2)
  model.load_state_dict(current)
  model.save_pretrained(folder / 'current')
  return Policy(folder / 'reference', old, current, folder / 'current')


def arrays(states, head):
  """A model whose parameters are its last states and output embedding."""
  states = torch.cat(states).detach().numpy()
  return {
    'states': jnp.asarray(states),
    'embedding': jnp.asarray(head.detach().numpy()),
  }


def on_their_states(trainer, seen, row):
  """`our_step` from their model's last states, at which gradients end."""
  head = trainer.model.lm_head.weight
  params = arrays(seen.states, head)
  reference = params
  if seen.reference:
    reference = arrays(seen.reference, trainer.ref_model.lm_head.weight)
  return our_step(
    make_method('grpo', **{'beta': BETA} | row),
    language.LanguageModel(
      decode_fns=lambda params: None,  # Nothing is drawn.
      states=lambda params, *_: params['states'],
      embedding=lambda params: params['embedding'],
    ),
    params,
    reference,
    make_samples(ANSWERS, seen.drawn['old_per_token_logps']),
    REWARDS,
    trainer.temperature,
  )


def trained(policy, workdir, settings, **more):
  """(trainer, its rollout and loss), with gradients computed."""
  trainer = tiny_trl.grpo(
    policy.reference, workdir, **{'beta': BETA} | settings, **more
  )
  seen = tiny_trl.grpo_loss(trainer, policy.old, policy.current)
  seen.loss.backward()
  return trainer, seen


@pytest.mark.parametrize('case', GRPO)
def test_grpo(case, policy, tmp_path):
  """Compares advantages, loss, and gradients of last states and embedding."""
  settings, row = GRPO[case]
  trainer, seen = trained(policy, tmp_path, settings)
  metrics, gradient = on_their_states(trainer, seen, row)(np.ones((P, G), bool))
  given = seen.drawn['advantages'].reshape(P, G)
  assert distance(metrics['weights'].policy, given) < TOLERANCE
  assert distance(metrics['loss'], seen.loss.detach()) < TOLERANCE
  states = torch.cat([states.grad for states in seen.states])
  assert distance(gradient['states'], states) < TOLERANCE
  head = trainer.model.lm_head.weight.grad
  assert distance(gradient['embedding'], head) < TOLERANCE
  told = trainer._metrics['train']
  assert 0 < told['clip_ratio/low_mean'][-1] < 1
  assert 0 < told['clip_ratio/high_mean'][-1] < 1


@pytest.mark.parametrize('case', ['grpo', 'dapo', 'dr_grpo'])
def test_two_microbatches(case, policy, tmp_path):
  """The sum of their gradients equals ours of the whole step."""
  settings, row = GRPO[case]
  trainer, seen = trained(policy, tmp_path, settings, parts=2)
  metrics, _ = on_their_states(trainer, seen, row)(np.ones((P, G), bool))
  assert distance(metrics['loss'], seen.loss.detach()) < TOLERANCE


def test_two_microbatches_of_bnpo(policy, tmp_path):
  """Theirs are the mean of two of our steps with half of the prompts each."""
  settings, row = GRPO['bnpo']
  trainer, seen = trained(policy, tmp_path, settings, parts=2)
  step = on_their_states(trainer, seen, row)
  first = np.repeat(np.arange(P) < P // 2, G).reshape(P, G)
  halves = [step(valid)[0]['loss'] for valid in (first, ~first)]
  assert distance(sum(halves) / 2, seen.loss.detach()) < TOLERANCE
  whole = step(np.ones((P, G), bool))[0]['loss']
  assert distance(whole, seen.loss.detach()) > 1e-3


def test_advantages_by_the_batch(policy, tmp_path):
  trainer = tiny_trl.grpo(policy.reference, tmp_path, scale_rewards='batch')
  given = trainer._generate_and_score_completions(tiny_trl.rows())
  theirs = given['advantages'].reshape(P, G).numpy()
  ours = advantages.standardized_by_batch(
    jnp.asarray(REWARDS), jnp.ones((P, G), bool)
  )
  spread, theirs_spread = REWARDS.std(), REWARDS.std(ddof=1)
  ratio = (spread + 1e-4) / (theirs_spread + 1e-4)
  assert ratio < 0.98
  assert distance(ours * ratio, theirs) < TOLERANCE


def through_the_model(method, policy, samples, rewards):
  """Our loss, and gradients by their names, of the whole decoder."""
  module = Decoder(
    decoder_folder.read(policy.folder).config, Compute(scan_layers=True)
  )
  metrics, gradient = our_step(
    method,
    language.LanguageModel(
      decode_fns=lambda params: None,
      states=lambda params, tokens, mask, *_: module.apply(
        params, tokens, position_ids(mask), mask
      ),
      embedding=output_embedding,
    ),
    tiny_decoders.load(policy.folder),
    tiny_decoders.load(policy.reference),
    samples,
    rewards,
  )(np.ones(rewards.shape, bool))
  rows = decoder_table.decoder_rows()
  return metrics['loss'], weight_table.to_hf(rows, gradient)


def test_grpo_of_the_whole_model(policy, tmp_path):
  """Our decoder gives the log-probabilities; only the old ones are theirs.

  TRL counts positions from the padding on, ours from the first token: rotary
  embeddings see differences alone.
  """
  trainer, seen = trained(policy, tmp_path, {'loss_type': 'grpo'})
  loss, gradients = through_the_model(
    make_method('grpo', beta=BETA),
    policy,
    make_samples(ANSWERS, seen.drawn['old_per_token_logps']),
    REWARDS,
  )
  assert distance(loss, seen.loss.detach()) < TOLERANCE
  check_gradients(gradients, dict(trainer.model.named_parameters()))


def test_dpo_of_the_whole_model(policy, tmp_path):
  """The first two answers to each prompt; the better one is not always first.

  A tie, which gives no pair here, cannot be said there.
  """
  trainer = tiny_trl.dpo(policy.reference, tmp_path, beta=BETA)
  theirs = tiny_trl.dpo_loss(trainer, policy.current)
  theirs.backward()
  loss, gradients = through_the_model(
    make_method('dpo', beta=BETA),
    policy,
    make_samples([group[:2] for group in ANSWERS]),
    np.eye(2, dtype=np.float32)[list(WINNERS)],
  )
  assert distance(loss, theirs.detach()) < TOLERANCE
  check_gradients(gradients, dict(trainer.model.named_parameters()))
