"""A language model of two tables: the next token by the last and the first.

Its states are the tables' rows, so all of its log-probabilities are known.
"""

import jax
import jax.numpy as jnp

from adrpo_jax.modalities import language
from adrpo_jax.sampling.decoding import DecodeFns
from adrpo_jax.sampling.token_distribution import make_token_distribution
from adrpo_jax.types import PromptBatch

P, G, L, T, V = 4, 4, 3, 5, 6
END, PAD = 5, 0


def parameters(seed=0, scale=0.7):
  last, first = scale * jax.random.normal(jax.random.key(seed), (2, V, V))
  return {'last': last, 'first': first}


def _state(params, last, first):
  return params['last'][last] + params['first'][first]


def _first_real(tokens, mask):
  at = jnp.argmax(mask, 1)[:, None]
  return jnp.take_along_axis(tokens, at, 1)


def model():
  def states(params, tokens, mask, *_):
    first = jnp.broadcast_to(_first_real(tokens, mask), tokens.shape)
    return _state(params, tokens, first)

  def decode_fns(params, features=None):
    def prefill(tokens, mask, slots):
      assert slots in (L, L + T)
      first = _first_real(tokens, mask)[:, 0]
      return _state(params, tokens[:, -1], first), first

    return DecodeFns(
      prefill=prefill,
      extend=lambda tokens, alive, first: (
        _state(params, tokens, first),
        first,
      ),
      logits=lambda states: states,
      repeat=lambda first, times: jnp.repeat(first, times, 0),
      empty=lambda first, rows, slots: jnp.zeros(rows, first.dtype),
      fill=lambda first, prompts, index, takes: jnp.where(
        takes.reshape(-1), prompts[index.reshape(-1)], first
      ),
      take=lambda first, index: first[index.reshape(-1)],
      seek=lambda first, slot: first,
    )

  return language.LanguageModel(decode_fns, states, lambda params: jnp.eye(V))


def make(method, **changes):
  settings = {
    'samples_per_prompt': G,
    'max_completion_length': T,
    'stops': (END,),
    'pad': PAD,
    'distribution': make_token_distribution(),
    'logits_chunk': 2,
  }
  settings = language.LanguageSettings(model=model(), **(settings | changes))
  return language.make_modality(method, settings)


def make_prompts():
  """Prompts of one to three tokens, padded on the left."""
  tokens = jnp.array([[0, 0, 1], [0, 2, 3], [4, 1, 2], [0, 3, 3]])
  mask = jnp.array([[0, 0, 1], [0, 1, 1], [1, 1, 1], [0, 1, 1]], bool)
  return PromptBatch.of_step(jnp.arange(P), {'tokens': tokens, 'mask': mask})
