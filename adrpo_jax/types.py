"""The words every room of the house shares: axis letters and records.

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


def append_axes(values: Array, like: Array) -> Array:
  """Appends axes of size 1 until `values` has the rank of `like`.

  [P, G] -> [P, G, 1, ...], ready to multiply [P, G, *].
  """
  return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))


class Weights(NamedTuple):
  """Two loss weights per sample: what a method's chain of transforms makes.

  The loss of a sample is policy · ℓ_policy + divergence · D.
  """

  policy: Array  # [P, G]
  divergence: Array  # [P, G]


class LossTerms(NamedTuple):
  """The unweighted, unreduced terms of a loss. One place reduces them.

  policy:      ℓ_policy per entry                        [P, G, *]
  divergences: D per entry, one array for each of the
               method's divergence terms, in their order [P, G, *]
  mask:        1 where an entry counts, 0 elsewhere      [P, G, *]
  metrics:     name -> per-entry diagnostics             [P, G, *],
               or what `diagnostics` makes of them
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
    cls, ids: Any, condition: PyTree = (), facts: PyTree = ()
  ) -> Self:
    """A whole step: its prompts have the index 0 to P − 1."""
    index: Any = np.arange(len(ids), dtype=np.int32)
    return cls(ids, condition, facts, index)


class Scores(NamedTuple):
  """What a reward says about samples.

  rewards:  [P, G], the number that is optimized
  valid:    [P, G] bool, False where the reward could not be had
  measures: name -> [P, G], further judgments (success, fidelity, ...)
  """

  rewards: Array
  valid: Array
  measures: Metrics


@flax.struct.dataclass
class TrainState:
  """Everything a step reads and writes: donated, sharded, checkpointed.

  `params` holds trainable leaves only (under LoRA, the adapters). The others
  have the same structure, or are None where a run has no use for them: `ema`
  and `old` are what a method reads, `averaged` what is judged and drawn with.
  """

  step: Array
  params: PyTree
  optimizer: optax.OptState
  transform: optax.OptState
  ema: PyTree | None
  old: PyTree | None
  averaged: PyTree | None


class Modality(NamedTuple):
  """All that the training loop knows of a generative model.

  Samples are an opaque pytree whose leaves lead with [P, G].

  rollout:    (params, frozen, prompts, key) -> samples
  decode:     (frozen, samples) -> what rewards see, e.g. images [P, G, H, W, 3]
  loss_terms: (params, frozen, anchors, samples, prompts, weights, keys) ->
              LossTerms; anchors: name -> full parameters ("reference", "old",
              "ema"), of which those that the method reads are evaluated, and
              the reference whenever given; keys [P, G], one for each sample
  measures:   (decoded) -> name -> [P], what is seen of a prompt's samples by
              themselves; one of them, diversity_*, says how they differ
  entries:    (samples) -> [P, G], how many entries of a loss count for each
  """

  rollout: Callable[..., PyTree]
  decode: Callable[..., PyTree]
  loss_terms: Callable[..., LossTerms]
  measures: Callable[..., Metrics]
  entries: Callable[[PyTree], Array]


class Renoised(NamedTuple):
  """What a forward-process flow loss looks at: fresh noise on own samples.

  Velocities of anchors are constants; only `velocity` carries gradients.
  """

  x0: Array  # [P, G, 1, *D] clean latents
  sigma: Array  # [P, G, S]
  x_sigma: Array  # [P, G, S, *D]
  target: Array  # u = ε − x₀, [P, G, S, *D]
  velocity: Array  # v_θ(x_σ, σ, c), [P, G, S, *D]
  anchors: dict[str, Array]  # name -> v_anchor(x_σ, σ, c), [P, G, S, *D]


class Trajectory(NamedTuple):
  """What a loss on solver transitions looks at: N steps of a stored rollout.

  Log-probabilities are means over latent dimensions, as in Flow-GRPO.
  """

  log_prob: Array  # log p_θ(x' | x), [P, G, N]
  log_prob_old: Array  # the same, recorded by the rollout, [P, G, N]
  mean: Array  # μ_θ, [P, G, N, *D]
  std: Array  # [P, G, N], the noise a step adds: s·√(−dt)
  anchors: dict[str, Array]  # name -> μ_anchor, [P, G, N, *D]


class TokenAnchor(NamedTuple):
  """What an anchor policy says of sampled tokens; constants.

  `kl` is the divergence of the policy from it over the whole vocabulary, with
  gradients, where a method needs that.
  """

  log_prob: Array  # log π_anchor(o_t | o_<t), [P, G, T]
  kl: Array | None = None  # [P, G, T]


class Tokens(NamedTuple):
  """What a loss on generated tokens looks at. Only `log_prob` has gradients.

  Entries where mask is 0, behind the end of an answer, may hold anything.
  """

  log_prob: Array  # log π_θ(o_t | o_<t), [P, G, T]
  log_prob_old: Array  # the same, of the policy of the rollout, [P, G, T]
  mask: Array  # 1 for the tokens of the answer, its end included, [P, G, T]
  anchors: dict[str, TokenAnchor]
