"""The random keys of samples."""

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array


def sample_keys(
  key: Array,
  prompts: int,
  samples_per_prompt: int,
  index: Array | None = None,
) -> Array:
  """Returns a key for every sample, fold_in(key, p·G + g). [P, G]

  The key of a sample does not depend on its device or microbatch. To draw only
  a part of the prompts of a step with the same keys, pass their `index` [P],
  the p of each within the step.
  """
  index = jnp.arange(prompts) if index is None else index
  own = index[:, None] * samples_per_prompt
  own = own + jnp.arange(samples_per_prompt)[None]
  fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
  keys = fold(key, own.reshape(-1))
  return keys.reshape((prompts, samples_per_prompt) + keys.shape[1:])
