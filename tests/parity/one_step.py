"""One training step of ours on TRL's prompts, with fixed completions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tiny_trl import END, PAD, PROMPTS, L, P, T

from adrpo_jax.modalities import language
from adrpo_jax.sampling.token_distribution import make_token_distribution
from adrpo_jax.types import PromptBatch, Scores
from adrpo_jax.update import init_state, make_update


def padded(rows, width, *, left=False):
  """Pads lists of ids: -> tokens and mask, [rows, width]."""
  tokens = np.full((len(rows), width), PAD)
  mask = np.zeros((len(rows), width), bool)
  for i, ids in enumerate(rows):
    at = slice(width - len(ids), None) if left else slice(len(ids))
    tokens[i, at], mask[i, at] = ids, True
  return tokens, mask


def make_samples(answers, old=None):
  """Makes our samples of completions and their old log-probabilities."""
  groups = (P, len(answers[0]), T)
  tokens, mask = padded([ids for group in answers for ids in group], T)
  old = np.zeros(groups) if old is None else old.numpy()
  return {
    'tokens': jnp.asarray(tokens.reshape(groups)),
    'mask': jnp.asarray(mask.reshape(groups)),
    'log_prob': jnp.asarray(old.reshape(groups), jnp.float32),
    'ended': jnp.ones(groups[:2], bool),
  }


def our_step(method, model, params, reference, samples, rewards, temperature=1):
  """Makes (valid) -> (metrics, gradient of the loss) of a step of ours."""
  settings = language.LanguageSettings(
    model=model,
    samples_per_prompt=samples['tokens'].shape[1],
    max_completion_length=T,
    stops=(END,),
    pad=PAD,
    distribution=make_token_distribution(temperature),
    logits_chunk=4,
  )
  modality = language.make_modality(method, settings)
  # An optimizer that moves nothing: its state is the last gradient.
  gradient_keeper = optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params),
    lambda grads, state, params=None: (
      jax.tree.map(jnp.zeros_like, grads),
      grads,
    ),
  )
  update = jax.jit(
    make_update(
      method,
      modality,
      gradient_keeper,
      updates_per_rollout=1,
      microbatches=1,
      averaging_decay=None,
      materialize=lambda params, frozen: params,
    )
  )
  tokens, mask = padded(PROMPTS, L, left=True)
  prompts = PromptBatch.of_step(
    jnp.arange(P),
    {'tokens': jnp.asarray(tokens), 'mask': jnp.asarray(mask)},
  )
  state = init_state(
    params, method, gradient_keeper, rewards.shape, averaged=False
  )

  def step(valid):
    scores = Scores(jnp.asarray(rewards), jnp.asarray(valid), {})
    new, metrics = update(
      state,
      {'reference': reference},
      samples,
      scores,
      prompts,
      jax.random.key(0),
    )
    assert bool(metrics['finite'])
    return metrics, new.optimizer

  return step
