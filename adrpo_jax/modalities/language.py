"""Language as a modality: answers sampled token by token, losses on them.

prompts: `types.PromptBatch` with the condition {'tokens': [P, L], 'mask':
  [P, L]}, padded on the left. A model with features reads more of it.
frozen: {'reference': full parameters}.
samples: {'tokens', 'mask', 'log_prob': [P, G, T], 'ended': [P, G]}, see
  `decoding.Answers`.
"""

from collections.abc import Callable, Sequence
import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adrpo_jax.diagnostics import Largest, Mean, Quantiles
from adrpo_jax.method import kl_estimators
from adrpo_jax.method.record import Method, select_anchors
from adrpo_jax.models.attention_masks import Branches
from adrpo_jax.models.decoder.log_probs import (
  Head,
  chunked_kl,
  chunked_log_probs,
  logits,
)
from adrpo_jax.sampling import decoding, token_distribution
from adrpo_jax.sampling.decoding import Answers, DecodeFns
from adrpo_jax.sampling.keys import sample_keys
from adrpo_jax.types import (
  Array,
  LossTerms,
  Metrics,
  Modality,
  PromptBatch,
  PyTree,
  TokenAnchor,
  Tokens,
  Weights,
)


class PromptFeatures(NamedTuple):
  """What stands in place of words in prompts, such as the tokens of a clip.

  values: [P, A, D]
  places: [P, L], the index of a position's feature, −1 where a word stands
  """

  values: Array
  places: Array


# (params, condition) -> the features of the prompts; None for text alone
FeaturesOf = Callable[[PyTree, PyTree], PromptFeatures | None]


def no_features(params: PyTree, condition: PyTree) -> None:
  """The features of a model that reads text alone."""
  del params, condition


class LanguageModel(NamedTuple):
  """A decoder as functions of its full parameters.

  Features stand only at places of the prompt. A token of a completion is always
  a word.

  decode_fns:  (params, features of the prompts) -> the functions that the
               sampling loop calls
  states:      (params, tokens [B, M], mask [B, M], features of the prompts,
               branches) -> last states [B, M, D]. A row is a prompt and its
               completions; branches says how, and is None for one.
  embedding:   (params) -> the output embedding [V, D]
  head:        (states [*, D], output embedding) -> logits [*, V]
  features_of: see `FeaturesOf`
  """

  decode_fns: Callable[..., DecodeFns]
  states: Callable[..., Array]
  embedding: Callable[[PyTree], Array]
  head: Head = logits
  features_of: FeaturesOf = no_features


@dataclasses.dataclass(frozen=True, eq=False)
class LanguageSettings:
  """The settings of a language model, apart from the method.

  model:                 the decoder
  samples_per_prompt:    G of the rollout; `loss_terms` reads G off its samples
  max_completion_length: T, the tokens of a completion at most
  stops:                 tokens that end a completion
  pad:                   the token behind the end
  distribution:          how tokens are chosen, and so what their
                         log-probabilities are
  logits_chunk:          positions whose logits the loss holds at a time
  shared_prefix:         True reads a prompt once for its G completions in the
                         loss, False once for each
  generate:              the sampling loop, see `decoding.generate`
  materialize:           (params, frozen) -> full parameters: the identity, or
                         base and adapters under LoRA
  gather:                full parameters as a loop over tokens wants them: on
                         every device, in the precision of the products
  constrain:             puts a pytree whose leaves lead with rows onto the
                         mesh, rows split over its devices; the identity on one
                         device
  """

  model: LanguageModel
  samples_per_prompt: int
  max_completion_length: int
  stops: Sequence[int]
  pad: int
  distribution: token_distribution.TokenDistribution
  logits_chunk: int = 128
  shared_prefix: bool = False
  generate: Callable[..., Answers] = decoding.generate
  materialize: Callable[[PyTree, PyTree], PyTree] = lambda params, _: params
  gather: Callable[[PyTree], PyTree] = lambda full: full
  constrain: Callable[[Any], Any] = lambda rows: rows


def make_modality(method: Method, settings: LanguageSettings) -> Modality:
  """Makes the functions of a language model for one method."""
  return Modality(
    rollout=partial(rollout, settings),
    decode=decode,
    loss_terms=partial(loss_terms, method, settings),
    measures=answer_measures,
    entries=entries,
  )


def rollout(
  settings: LanguageSettings,
  params: PyTree,
  frozen: PyTree,
  prompts: PromptBatch,
  key: Array,
) -> dict[str, Array]:
  """Draws G completions of each prompt; see `types.Modality`."""
  condition = prompts.condition
  groups = (len(condition['tokens']), settings.samples_per_prompt)
  full = settings.gather(settings.materialize(params, frozen))
  tokens, mask = settings.constrain((condition['tokens'], condition['mask']))
  answers = settings.generate(
    settings.model.decode_fns(
      full, settings.model.features_of(full, condition)
    ),
    tokens,
    mask,
    sample_keys(key, *groups, prompts.index),
    max_length=settings.max_completion_length,
    stops=settings.stops,
    pad=settings.pad,
    distribution=settings.distribution,
  )
  return jax.tree.map(partial(_grouped, groups), answers._asdict())


def decode(frozen: PyTree, samples: PyTree) -> PyTree:
  """Rewards see the tokens as they are."""
  del frozen
  return samples


def loss_terms(
  method: Method,
  settings: LanguageSettings,
  params: PyTree,
  frozen: PyTree,
  anchors: PyTree,
  samples: PyTree,
  prompts: PromptBatch,
  weights: Weights,
  keys: Array,
) -> LossTerms:
  """Computes the terms of a method's loss; see `types.Modality`."""
  del keys  # Nothing is drawn: the loss looks at the rollout's tokens.
  outputs, entropy = _outputs(
    method, settings, params, frozen, anchors, samples, prompts
  )
  surrogate = method.policy_loss(outputs, weights)
  return LossTerms(
    policy=surrogate,
    divergences=tuple(
      term.entries(outputs, weights) for term in method.divergences
    ),
    mask=samples['mask'].astype(jnp.float32),
    metrics={
      'policy': weights.policy[..., None] * surrogate,
      'entropy': entropy,
      **_measured(outputs, weights),
    },
  )


def entries(samples: PyTree) -> Array:
  """The number of tokens of each completion. -> [P, G]"""
  return samples['mask'].sum(2)


def _outputs(
  method: Method,
  settings: LanguageSettings,
  params: PyTree,
  frozen: PyTree,
  anchors: PyTree,
  samples: PyTree,
  prompts: PromptBatch,
) -> tuple[Tokens, Array]:
  """Computes the input of a method's functions, and the entropy [P, G, T]."""
  groups = samples['tokens'].shape[:2]
  max_length = settings.max_completion_length
  count = groups[1] if settings.shared_prefix else 1
  rows = _joined(prompts.condition, samples, count)
  tokens, mask = settings.constrain(rows)
  length = prompts.condition['tokens'].shape[1]
  branches = Branches(length, count, max_length) if count > 1 else None
  chosen = samples['tokens'].reshape(-1, max_length)
  chunk = settings.logits_chunk
  grouped = partial(_grouped, groups)

  def states_of(full):
    features = settings.model.features_of(full, prompts.condition)
    states = settings.model.states(full, tokens, mask, features, branches)
    if branches:
      last = Branches(1, count, max_length)
      states = last.continued(states[:, -count * max_length - 1 :])
    # The state before a token is that from which it is drawn.
    return states[:, -max_length - 1 : -1], settings.model.embedding(full)

  def log_probs(states, embedding):
    rows = chunked_log_probs(
      states,
      embedding,
      chosen,
      chunk=chunk,
      head=settings.model.head,
      log_prob_and_entropy=partial(
        token_distribution.log_prob_and_entropy, settings.distribution
      ),
    )
    return jax.tree.map(grouped, rows)

  own = states_of(settings.materialize(params, frozen))
  log_prob, entropy = log_probs(*own)
  constants = {}
  for name, full in select_anchors(method, anchors).items():
    other = jax.lax.stop_gradient(states_of(full))
    divergence = None
    if 'full_kl' in method.needs:
      kl = chunked_kl(*own, *other, chunk=chunk, head=settings.model.head)
      divergence = grouped(kl)
    constants[name] = TokenAnchor(log_probs(*other)[0], divergence)
  return (
    Tokens(log_prob, samples['log_prob'], samples['mask'], constants),
    entropy,
  )


def _grouped(groups: tuple[int, int], leaf: Array) -> Array:
  """[P·G, ...] -> [P, G, ...]"""
  return leaf.reshape(*groups, *leaf.shape[1:])


def answer_measures(samples: PyTree) -> Metrics:
  """Measures diversity, length and truncation of completions. -> [P]"""
  return {
    'diversity_distinct': distinct_answers(samples),
    'length': samples['mask'].sum(2).mean(1, dtype=jnp.float32),
    'truncated': 1.0 - samples['ended'].mean(1, dtype=jnp.float32),
  }


def distinct_answers(samples: PyTree) -> Array:
  """Returns the share of pairs of a prompt's completions that differ. -> [P]"""
  tokens = jnp.where(samples['mask'], samples['tokens'], -1)
  differ = (tokens[:, :, None] != tokens[:, None]).any(-1)
  count = tokens.shape[1]
  return differ.sum((1, 2)) / max(count * (count - 1), 1)


def _joined(
  condition: PyTree, samples: PyTree, count: int
) -> tuple[Array, Array]:
  """Joins each prompt and `count` of its completions, so that they share it.

  Returns:
    tokens and mask, [P·G/count, L + count·T].
  """
  copies = samples['tokens'].shape[1] // count

  def joined(name: str) -> Array:
    starts = jnp.repeat(condition[name], copies, 0)
    completions = samples[name].reshape(len(starts), -1)
    return jnp.concatenate([starts, completions], 1)

  return joined('tokens'), joined('mask')


def _measured(outputs: Tokens, weights: Weights) -> dict[str, Any]:
  """Diagnostics of every token: the distance to the rollout and reference."""
  drift = outputs.log_prob - outputs.log_prob_old
  drift = jnp.abs(jnp.where(outputs.mask, drift, 0.0))
  metrics: dict[str, Any] = {
    'log_prob_difference': drift,
    'log_prob_difference_max': Largest(drift),
    'log_prob_difference_quantiles': Quantiles(drift),
  }
  if 'reference' not in outputs.anchors:
    return metrics
  anchor = outputs.anchors['reference']
  divergence = kl_estimators.k3(outputs, anchor)
  log_ratio = kl_estimators.log_ratio(outputs, anchor)
  sign = jnp.broadcast_to(jnp.sign(weights.policy)[..., None], log_ratio.shape)
  return metrics | {
    'divergence': divergence,
    'divergence_good': Mean(divergence, (sign > 0).astype(jnp.float32)),
    'divergence_poor': Mean(divergence, (sign < 0).astype(jnp.float32)),
    'log_ratio': log_ratio,
    'log_ratio_quantiles': Quantiles(log_ratio),
    'past_flip': kl_estimators.past_flip(outputs, anchor).astype(jnp.float32),
  }
