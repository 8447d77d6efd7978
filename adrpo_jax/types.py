"""The axis letters and records that all parts share.

Axis letters, used in every public docstring:
  P  prompts                 L  positions of a sequence
  G  samples per prompt      T  generated positions
  B  P·G                     V  vocabulary
  S  noise draws per sample  D  features
  N  solver steps            *  zero or more further axes

One time convention, that of diffusers' SD3: σ = 1 is noise, σ = 0 is data,
x_σ = (1−σ)·x₀ + σ·ε, and the velocity is u = dx/dσ = ε − x₀.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import flax.struct
import jax
import numpy as np
import optax

Array = jax.Array
PyTree = Any
Metrics = dict[str, Array]
# Rows of a step's P prompts that one process reads: indices, or all.
OwnRows = np.ndarray | slice
ALL_ROWS = slice(None)


def append_axes(values: Array, like: Array) -> Array:
  """Appends axes of size 1 until `values` has the rank of `like`.

  [P, G] -> [P, G, 1, ...], ready to multiply [P, G, *].
  """
  return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))


class Weights(NamedTuple):
  """Two loss weights per sample, the result of a method's chain of transforms.

  The loss of a sample is policy · ℓ_policy + divergence · D.
  """

  policy: Array  # [P, G]
  divergence: Array  # [P, G]


class LossTerms(NamedTuple):
  """The unweighted, unreduced terms of a loss; `update` reduces them.

  policy:      ℓ_policy per entry                        [P, G, *]
  divergences: D per entry, one array for each of the
               method's divergence terms, in their order [P, G, *]
  mask:        1 where an entry counts, 0 elsewhere      [P, G, *]
  metrics:     name -> per-entry diagnostics             [P, G, *],
               or a record of `diagnostics`
  """

  policy: Array
  divergences: tuple[Array, ...]
  mask: Array
  metrics: dict[str, Any]


@flax.struct.dataclass
class PromptBatch:
  """The prompts of a step, or of a part of it: a pytree of P rows.

  ids:       [P] int32, the index of each prompt in the set it comes from
  condition: pytree [P, ...], what the model reads
  facts:     pytree [P, ...], what rewards compare samples with, or ()
  index:     [P] int32, the index of each prompt in its step. A sample's random
             key follows from it, so that a part draws what the whole would.
  """

  ids: Array
  condition: PyTree
  facts: PyTree
  index: Array

  @classmethod
  def of_step(
    cls,
    ids: Any,
    condition: PyTree = (),
    facts: PyTree = (),
    own: OwnRows = ALL_ROWS,
  ) -> Self:
    """The rows `own` of a step, whose prompts have the index 0 to P − 1.

    Args:
      ids: [P], of all prompts of the step.
      condition: of its own rows.
      facts: of its own rows.
      own: all by default.
    """
    index: Any = np.arange(len(ids), dtype=np.int32)
    return cls(ids[own], condition, facts, index[own])


class Scores(NamedTuple):
  """The scores of samples.

  rewards:  [P, G], the number that is optimized
  valid:    [P, G] bool, False where there is no reward
  measures: name -> [P, G], further numbers (success, fidelity, ...)
  """

  rewards: Array
  valid: Array
  measures: Metrics


@flax.struct.dataclass
class TrainState:
  """The state that a step reads and writes; donated, sharded, checkpointed.

  `params` holds trainable leaves only (under LoRA, the adapters). The other
  trees have the same structure, or are None where a run does not use them. A
  method reads `ema` and `old`, and `reference` in place of the base where the
  reference moves; evaluation, sampling and export use `averaged`.
  """

  step: Array
  params: PyTree
  optimizer: optax.OptState
  transform: optax.OptState
  ema: PyTree | None
  old: PyTree | None
  averaged: PyTree | None
  reference: PyTree | None = None


class Modality(NamedTuple):
  """The functions of a generative model that the training loop calls.

  Samples are an opaque pytree whose leaves lead with [P, G].

  rollout:    (params, frozen, prompts, key) -> samples
  decode:     (frozen, samples) -> the input of rewards, such as images
              [P, G, H, W, 3]
  loss_terms: (params, frozen, anchors, samples, prompts, weights, keys) ->
              LossTerms; anchors: name -> full parameters ("reference", "old",
              "ema"); those that the method reads are evaluated, and the
              reference if it is there; keys [P, G], one for each sample
  measures:   (decoded) -> name -> [P], numbers of the samples of a prompt
              without a judge; one of them, diversity_*, says how they differ
  entries:    (samples) -> [P, G], the number of loss entries of each sample
  """

  rollout: Callable[..., PyTree]
  decode: Callable[..., PyTree]
  loss_terms: Callable[..., LossTerms]
  measures: Callable[..., Metrics]
  entries: Callable[[PyTree], Array]


class Renoised(NamedTuple):
  """The input of a forward-process flow loss: fresh noise on own samples.

  Velocities of anchors are constants; only `velocity` carries gradients.
  """

  x0: Array  # [P, G, 1, *D] clean latents
  sigma: Array  # [P, G, S]
  x_sigma: Array  # [P, G, S, *D]
  target: Array  # u = ε − x₀, [P, G, S, *D]
  velocity: Array  # v_θ(x_σ, σ, c), [P, G, S, *D]
  anchors: dict[str, Array]  # name -> v_anchor(x_σ, σ, c), [P, G, S, *D]


class Trajectory(NamedTuple):
  """The input of a loss on solver transitions: N steps of a stored rollout.

  Log-probabilities are means over latent dimensions, as in Flow-GRPO.
  """

  log_prob: Array  # log p_θ(x' | x), [P, G, N]
  log_prob_old: Array  # log p of the policy of the rollout, [P, G, N]
  mean: Array  # μ_θ, [P, G, N, *D]
  std: Array  # [P, G, N], the noise a step adds: s·√(−dt)
  anchors: dict[str, Array]  # name -> μ_anchor, [P, G, N, *D]


class TokenAnchor(NamedTuple):
  """Log-probabilities of sampled tokens under an anchor policy; constants.

  `kl` is the divergence of the policy from the anchor over the whole
  vocabulary, with gradients, if a method needs it.
  """

  log_prob: Array  # log π_anchor(o_t | o_<t), [P, G, T]
  kl: Array | None = None  # [P, G, T]


class Tokens(NamedTuple):
  """The input of a loss on generated tokens. Only `log_prob` has gradients.

  Entries where the mask is 0, behind the end of a completion, are arbitrary.
  """

  log_prob: Array  # log π_θ(o_t | o_<t), [P, G, T]
  log_prob_old: Array  # log π of the policy of the rollout, [P, G, T]
  mask: Array  # 1 for the tokens of the completion and its end, [P, G, T]
  anchors: dict[str, TokenAnchor]
