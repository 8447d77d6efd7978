"""How many devices share the weights of a run, where its config leaves it open.

Weights that are whole on each device need no network, so the smallest `fsdp`
is best for which they fit. Of f · tensor devices that share them, each holds

  whole + (frozen + trained) / (f · tensor)

bytes from step to step, of which `WEIGHTS` of its memory is the most: samples,
activations and rewards need the rest. Where f is above 1, weights are gathered
before they are used:

  update   once for a rollout and once for an update, its microbatches included
  rollout  once for a rollout; in an update each layer whenever it is computed
  layer    each layer whenever it is computed

The first of these is taken whose copies fit, together with what is resident, in
`COPIES` of the memory, even if that takes more devices: gathers send the same
number of bytes, whatever f is.
"""

from collections.abc import Sequence
import itertools
from typing import NamedTuple

WEIGHTS = 0.5  # share of the memory, for what is resident from step to step
COPIES = 0.75  # share with the copies that are gathered


class Sizes(NamedTuple):
  """Bytes of a run's arrays, over all devices.

  whole:     on every device, such as an autoencoder
  frozen:    the reference
  trained:   the weights that are trained, their gradients, moments and averages
  policy:    all weights of the policy, in the dtype of the products
  anchors:   those beside it that a loss reads, such as the reference; the base
             of adapters is among the policy's
  """

  whole: int
  frozen: int
  trained: int
  policy: int
  anchors: int


class Choice(NamedTuple):
  """The number of devices that share the weights, and when they are gathered.

  resident: bytes of weights on a device from step to step
  """

  fsdp: int
  gather: str
  resident: float


GATHERS = ('update', 'rollout', 'layer')
# Of the models that generate tokens, a rollout always gathers.
GATHERS_OF = {'flow': GATHERS, 'language': ('rollout',)}


def choose(
  sizes: Sizes,
  memory: int,
  tensor: int,
  counts: Sequence[int],
  gathers: Sequence[str] = GATHERS,
) -> Choice:
  """Returns the first way of `gathers` that fits, for the smallest fsdp.

  Args:
    sizes: of the run.
    memory: bytes of a device.
    tensor: devices that split each layer.
    counts: the numbers that fsdp may be, rising.
    gathers: the ways to gather that are allowed, the best first.

  Returns:
    the choice; the largest number and the last way if nothing fits.
  """
  for gather, fsdp in itertools.product(gathers, counts):
    own = resident(sizes, fsdp, tensor)
    copies = _copies(sizes, gather, fsdp, tensor)
    if own <= WEIGHTS * memory and own + copies <= COPIES * memory:
      return Choice(fsdp, gather, own)
  return Choice(counts[-1], gathers[-1], resident(sizes, counts[-1], tensor))


def resident(sizes: Sizes, fsdp: int, tensor: int) -> float:
  """Returns the bytes of weights on a device from step to step."""
  return sizes.whole + (sizes.frozen + sizes.trained) / (fsdp * tensor)


def _copies(sizes: Sizes, gather: str, fsdp: int, tensor: int) -> float:
  if fsdp == 1:
    return 0.0  # What is whole is not copied.
  copies = {
    'update': sizes.policy + sizes.anchors,
    'rollout': sizes.policy,
    'layer': 0,
  }
  return copies[gather] / tensor


def counts_of(devices: int, slices: int, tensor: int, data: int) -> list[int]:
  """Returns the numbers that fsdp may be: within a slice, beside the others.

  >>> counts_of(512, slices=2, tensor=4, data=-1)
  [1, 2, 4, 8, 16, 32, 64]
  """
  within = devices // slices // tensor
  return [
    count
    for count in range(1, within + 1)
    if within % count == 0 and data in (-1, devices // (tensor * count))
  ]
