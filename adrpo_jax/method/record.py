"""Records: a method, and a divergence term of its loss."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from adrpo_jax.method.aggregations import Aggregation, sample_mean
from adrpo_jax.types import Array, PyTree, Weights, append_axes


def weight_of_chain(weights: Weights) -> Array:
  """Returns the divergence weight that the chain of a method made. [P, G]"""
  return weights.divergence


class DivergenceTerm(NamedTuple):
  """A divergence term of a loss: a function, its anchor and its weight.

  function: (outputs of the policy, outputs of the anchor) -> [P, G, *]
  anchor:   'reference', 'old' or 'ema'
  weight:   (weights) -> [P, G], the chain's divergence weight unless given
  released: (outputs of the policy, outputs of the anchor) -> [P, G, *] bool,
            the entries to which a negative weight does not apply; None: it
            applies to all
  """

  function: Callable[..., Array]
  anchor: str
  weight: Callable[[Weights], Array] = weight_of_chain
  released: Callable[..., Array] | None = None

  def entries(self, outputs: Any, weights: Weights) -> Array:
    """Returns D of every entry, 0 where it is released. [P, G, *]"""
    anchor = outputs.anchors[self.anchor]
    values = self.function(outputs, anchor)
    if self.released is None:
      return values
    negative = append_axes(self.weight(weights) < 0, values)
    free = negative & self.released(outputs, anchor)
    return jnp.where(free, 0.0, values)


class Method(NamedTuple):
  """A method as functions: chain of weights, policy loss, divergence terms.

  weights:     the chain that turns rewards into `Weights`
  policy_loss: (outputs, weights) -> [P, G, *]
  divergences: the terms that hold the policy near its anchors
  behavior:    the parameters that sample: 'current', 'old' or 'base'
  usable:      (rewards, valid) -> valid, the samples that enter the loss
  needs:       'group' (two samples of a prompt or more), 'pairs' (exactly two),
               'shared_noise' (one ε and σ for a group), 'trajectory',
               'full_kl' (log-probabilities of the whole vocabulary)
  policy_anchors: anchors that policy_loss reads by name
  old_decay:   old <- d·old + (1−d)·params after each training step, with
               d = old_decay(index of that step, from 0); None: no such copy
  ema_decay:   the same for the averaged parameters
  aggregation: (entries, valid) -> [P, G], the scale of an entry in the loss
  name, title, source: those of the table's row
  """

  weights: optax.GradientTransformationExtraArgs
  policy_loss: Callable[..., Array]
  divergences: tuple[DivergenceTerm, ...]
  behavior: str
  usable: Callable[[Array, Array], Array]
  needs: frozenset[str] = frozenset()
  policy_anchors: tuple[str, ...] = ()
  old_decay: optax.Schedule | None = None
  ema_decay: optax.Schedule | None = None
  aggregation: Aggregation = sample_mean
  name: str = ''
  title: str = ''
  source: str = ''


def divergence_weights(
  method: Method, weights: Weights, valid: Array
) -> tuple[Array, ...]:
  """Returns the weight of each divergence term, 0 if invalid. [P, G] each."""
  return tuple(
    jnp.where(valid, term.weight(weights), 0.0) for term in method.divergences
  )


def anchors(method: Method) -> tuple[str, ...]:
  """Returns the names of the anchors whose outputs the loss reads, sorted."""
  names = {term.anchor for term in method.divergences}
  return tuple(sorted(names | set(method.policy_anchors)))


def select_anchors(
  method: Method, available: Mapping[str, PyTree]
) -> dict[str, PyTree]:
  """Returns the anchors that a method reads, and the reference if there is one.

  Args:
    method: names its anchors.
    available: anchor -> full parameters.

  Raises:
    ValueError: an anchor that the method reads is missing.
  """
  needed = anchors(method)
  missing = sorted(set(needed) - set(available))
  if missing:
    raise ValueError(
      f'Expected anchors {sorted(needed)} for method {method.name}, got '
      f'{sorted(available)}: pass the full parameters of {missing}.'
    )
  return {
    name: full
    for name, full in available.items()
    if name in needed or name == 'reference'
  }
