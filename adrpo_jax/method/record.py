"""What a method is: the record that a row of the table fills in."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from adrpo_jax.method.aggregations import Aggregation, sample_mean
from adrpo_jax.types import Array, PyTree, Weights, append_axes


class DivergenceTerm(NamedTuple):
  """One divergence of a loss: what is measured, against whom, how heavily.

  function: (outputs, what the anchor says) -> [P, G, *]
  anchor:   'reference', 'old' or 'ema'
  weight:   (weights) -> [P, G]
  released: (outputs, what the anchor says) -> [P, G, *] bool, entries that a
            negative weight leaves alone; None: there are none
  """

  function: Callable[..., Array]
  anchor: str
  weight: Callable[[Weights], Array]
  released: Callable[..., Array] | None = None

  def entries(self, outputs: Any, weights: Weights) -> Array:
    """D of every entry, 0 where it is released. -> [P, G, *]"""
    anchor = outputs.anchors[self.anchor]
    measured = self.function(outputs, anchor)
    if self.released is None:
      return measured
    negative = append_axes(self.weight(weights) < 0, measured)
    free = negative & self.released(outputs, anchor)
    return jnp.where(free, 0.0, measured)


def weight_of_chain(weights: Weights) -> Array:
  """The weight of a divergence term as the method's chain gives it. [P, G]"""
  return weights.divergence


class Method(NamedTuple):
  """One row of the table.

  weights:     the chain that makes `Weights` of rewards
  policy_loss: (outputs, weights) -> [P, G, *]
  divergences: the terms that hold the policy back
  behavior:   whose parameters sample: 'current', 'old' or 'base'
  usable:      (rewards, valid) -> valid, the samples that enter the loss
  source:      where the method was published
  needs:       'group' (two samples of a prompt or more), 'pairs' (exactly two),
               'shared_noise' (one ε and σ for a group), 'trajectory'
  policy_anchors: anchors that policy_loss reads by name
  old_decay:   old <- d·old + (1−d)·params after each training step, with
               d = old_decay(index of that step, from 0); None: no such copy
  ema_decay:   the same for the averaged parameters
  aggregation: (entries, valid) -> [P, G], what an entry of a sample counts for
  """

  name: str
  weights: optax.GradientTransformationExtraArgs
  policy_loss: Callable[..., Array]
  divergences: tuple[DivergenceTerm, ...]
  behavior: str
  usable: Callable[[Array, Array], Array]
  source: str
  needs: frozenset[str] = frozenset()
  policy_anchors: tuple[str, ...] = ()
  old_decay: optax.Schedule | None = None
  ema_decay: optax.Schedule | None = None
  aggregation: Aggregation = sample_mean


def divergence_weights(
  method: Method, weights: Weights, valid: Array
) -> tuple[Array, ...]:
  """The weight of every divergence term, 0 for what is invalid. [P, G] each."""
  return tuple(
    jnp.where(valid, term.weight(weights), 0.0) for term in method.divergences
  )


def anchors(method: Method) -> tuple[str, ...]:
  """Names of the anchor policies whose outputs the loss of a method reads."""
  names = {term.anchor for term in method.divergences}
  return tuple(sorted(names | set(method.policy_anchors)))


def given_anchors(
  method: Method, given: Mapping[str, PyTree]
) -> dict[str, PyTree]:
  """Those that are read: the method's, and the reference if it is given.

  Raises:
    ValueError: one that the method reads is missing.
  """
  needed = anchors(method)
  missing = sorted(set(needed) - set(given))
  if missing:
    raise ValueError(
      f'Expected anchors {sorted(needed)} for method {method.name}, got '
      f'{sorted(given)}: pass the full parameters of {missing}.'
    )
  return {
    name: full
    for name, full in given.items()
    if name in needed or name == 'reference'
  }
