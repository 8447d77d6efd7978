"""Made-up log-probabilities of answers of several lengths."""

import jax.numpy as jnp
import numpy as np

from adrpo_jax.types import TokenAnchor, Tokens

P, G, T = 3, 4, 6


def tokens(log_prob=None, *, seed=0, old=None, reference=None, lengths=None):
  """Random ones, apart by about 0.5 nats; lengths from 1 to T."""
  rng = np.random.default_rng(seed)
  own = -rng.uniform(0.1, 3.0, (P, G, T)).astype(np.float32)
  drift = 0.5 * rng.normal(size=(2, P, G, T)).astype(np.float32)
  if lengths is None:
    lengths = rng.integers(1, T + 1, (P, G))
  mask = (np.arange(T) < lengths[..., None]).astype(np.float32)
  return Tokens(
    log_prob=jnp.asarray(own if log_prob is None else log_prob),
    log_prob_old=jnp.asarray(own + drift[0] if old is None else old),
    mask=jnp.asarray(mask),
    anchors={
      'reference': TokenAnchor(
        jnp.asarray(own + drift[1] if reference is None else reference)
      )
    },
  )


def one(x=0.0, ratio=0.0):
  """One token: log π − log π_ref = x, log π − log π_old = ratio."""
  own = jnp.full((1, 1, 1), -1.0)
  return Tokens(
    log_prob=own,
    log_prob_old=own - ratio,
    mask=jnp.ones((1, 1, 1)),
    anchors={'reference': TokenAnchor(own - x)},
  )
