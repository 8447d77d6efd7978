"""The exact judge of the shapes world: analysis by synthesis, on the device.

An image is parsed by matching pursuit. With D = image − background, an object
with coverage m at place p and color c explains

  E(m, p, c) = ‖D‖² − ‖D − m(c − bg)‖² = 2⟨m, D⟩·(c − bg) − ‖m‖²‖c − bg‖²

of the image's energy. The best (m, p, c) is an object; it is subtracted, and
the search is repeated until no object explains enough. The parse is then
compared with the facts of the prompt, under the assignment of objects to facts
in which most facts hold.
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.types import Array
from adrpo_jax.worlds import shapes
from adrpo_jax.worlds.shapes import FREE, PLACES, SLOTS, WINDOW, Facts

OBJECTS = SLOTS + 1  # objects searched for: one more than any prompt has
MIN_EXPLAINED = 0.4  # share of its own energy that an object must explain
JUDGE_MARGIN = 3.0  # pixels between centers for a relation to hold

_COVERAGE = shapes.TEMPLATES.reshape(-1, WINDOW, WINDOW)  # [M, w, w]
_ENERGY = (_COVERAGE**2).sum((1, 2))  # ‖m‖², [M]
_CONTRAST = shapes.PALETTE - shapes.BACKGROUND  # c − bg, [C, 3]
_SIZE_OF = np.tile(np.arange(len(shapes.PIXELS)), len(_ENERGY) // 3)
_PIXELS_OF = np.array(shapes.PIXELS)[_SIZE_OF]
_FITS = (np.arange(PLACES)[:, None, None] + _PIXELS_OF <= shapes.SIDE) & (
  np.arange(PLACES)[None, :, None] + _PIXELS_OF <= shapes.SIDE
)
_ASSIGNMENTS = np.array(list(itertools.permutations(range(OBJECTS), SLOTS)))


class Parse(NamedTuple):
  """The objects in an image, by their share of its energy, largest first.

  present [*, F] bool; shape, color, size, style [*, F]; center [*, F, 2] in
  pixels (row, column); fidelity [*], the share of the image's energy that the
  rendering of this parse explains: 1 for a rendered scene.
  """

  present: Array
  shape: Array
  color: Array
  size: Array
  style: Array
  center: Array
  fidelity: Array


class Verdict(NamedTuple):
  """A parse compared with the facts of its prompt.

  facts [*]: the share of stated facts that hold; success [*]: all hold;
  fidelity [*]; assignment [*, K]: the object of each fact slot; complete [*]:
  every slot that the prompt uses has an object.
  """

  facts: Array
  success: Array
  fidelity: Array
  assignment: Array
  complete: Array


def judge(
  images: Array, facts: Facts, success_weight: float = 0.0
) -> dict[str, Array]:
  """images [B, H, W, 3] in [0, 1], facts [B, ...] -> reward and measures.

  reward = (1 − w)·[share of the facts that hold] + w·[all of them hold], with
  w = `success_weight`; facts, success and fidelity are measures. All [B].
  """
  verdict = verify(parse(images), facts)
  success = verdict.success.astype(jnp.float32)
  return {
    'reward': verdict.facts + success_weight * (success - verdict.facts),
    'facts': verdict.facts,
    'success': success,
    'fidelity': verdict.fidelity,
  }


def parse(images: Array) -> Parse:
  """Finds the objects of each image: [B, H, W, 3] -> Parse with [B, F]."""
  difference = images.astype(jnp.float32) - shapes.BACKGROUND[None, None, None]
  energy = jnp.sum(difference**2, (1, 2, 3))
  matches = _match(difference)
  steps = []
  for _ in range(OBJECTS):
    thing, explained, matches = _strongest(matches)
    steps.append((thing, explained))
  things = jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *steps)
  (present, shape, color, size, style, center), explained = things
  total = jnp.sum(jnp.where(present, explained, 0.0), 1)
  fidelity = jnp.clip(total / jnp.maximum(energy, 1e-6), 0.0, 1.0)
  return Parse(present, shape, color, size, style, center, fidelity)


def verify(parsed: Parse, facts: Facts) -> Verdict:
  """Counts the facts that hold, for the best assignment: [B, ...] -> [B]."""
  return jax.vmap(_verify)(parsed, facts)


def _match(difference: Array) -> Array:
  """⟨m, D⟩ for every template, place and channel: -> [B, 3, Y, X, M]."""
  batch = difference.shape[0]
  spare = PLACES + WINDOW - 1 - shapes.SIDE
  padded = jnp.pad(difference, ((0, 0), (0, spare), (0, spare), (0, 0)))
  planes = jnp.moveaxis(padded, -1, 1).reshape(batch * 3, *padded.shape[1:3], 1)
  matches = jax.lax.conv_general_dilated(
    planes,
    jnp.moveaxis(jnp.asarray(_COVERAGE), 0, -1)[:, :, None, :],
    (1, 1),
    'VALID',
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )
  return matches.reshape(batch, 3, PLACES, PLACES, -1)


def _strongest(matches: Array):
  """The object that explains most, and the matches without that object."""
  # The sums are written out, so that one fused loop has no color axis.
  gains = [_explained(matches, color) for color in range(len(_CONTRAST))]
  best_hue = functools.reduce(jnp.maximum, gains)
  explained = jnp.where(jnp.asarray(_FITS)[None], best_hue, -jnp.inf)
  # The best place first, then the best template there: one argmax over both is
  # several times slower on a CPU.
  peaks = explained.max(-1).reshape(explained.shape[0], -1)
  top, left = jnp.divmod(jnp.argmax(peaks, 1), PLACES)
  rows = jnp.arange(matches.shape[0])
  at_place = explained[rows, top, left]  # [B, M]
  template = jnp.argmax(at_place, 1)
  gain = at_place.max(1)
  there = matches[rows, :, top, left, template]  # [B, 3]
  contrast = jnp.asarray(_CONTRAST)
  norms = jnp.sum(contrast**2, -1)  # [C]
  energy = jnp.asarray(_ENERGY)[template]
  hues = 2 * there @ contrast.T - energy[:, None] * norms[None]
  color = jnp.argmax(hues, 1)
  present = gain >= MIN_EXPLAINED * energy * norms[color]
  shape, style, size = jnp.unravel_index(template, shapes.TEMPLATES.shape[:3])
  half = jnp.asarray(_PIXELS_OF)[template] / 2
  center = jnp.stack([top + half, left + half], -1)
  taken = jnp.where(present[:, None], contrast[color], 0.0)
  overlap = jax.vmap(_overlap)(template, top, left)  # [B, Y, X, M]
  rest = matches - taken[:, :, None, None, None] * overlap[:, None]
  thing = (present, shape, color, size, style, center)
  return thing, gain, rest


def _explained(matches: Array, color: int) -> Array:
  """E of one color at every place: [B, 3, Y, X, M] -> [B, Y, X, M]."""
  red, green, blue = (float(c) for c in _CONTRAST[color])
  norm = red**2 + green**2 + blue**2
  product = matches[:, 0] * red + matches[:, 1] * green + matches[:, 2] * blue
  return 2 * product - jnp.asarray(_ENERGY * norm)[None, None, None]


def _overlap(template: Array, top: Array, left: Array) -> Array:
  """⟨m, m'⟩ of one placed template with every other at every place."""
  start = (template, PLACES - 1 - top, PLACES - 1 - left, 0)
  shape = (1, PLACES, PLACES, len(_ENERGY))
  return jax.lax.dynamic_slice(jnp.asarray(_OVERLAPS), start, shape)[0]


def _overlaps() -> np.ndarray:
  """⟨m, m' shifted by (dy, dx)⟩: [M, 2Y−1, 2X−1, M], zero beyond a window."""
  reach = WINDOW - 1
  padded = np.pad(_COVERAGE, ((0, 0), (reach, reach), (reach, reach)))
  windows = np.lib.stride_tricks.sliding_window_view(
    padded, (WINDOW, WINDOW), (1, 2)
  )  # [M, 2w−1, 2w−1, w, w]; index i means a shift by i − reach
  near = np.tensordot(windows, _COVERAGE, ((3, 4), (1, 2)))
  far = PLACES - 1 - reach
  return np.pad(near, ((0, 0), (far, far), (far, far), (0, 0))).astype(
    np.float32
  )


_OVERLAPS = _overlaps()


def _verify(parsed: Parse, facts: Facts) -> Verdict:
  """The verdict of one image: parsed [F], facts [K]."""
  used = jnp.arange(SLOTS) < facts.objects
  agreement = jnp.zeros((SLOTS, OBJECTS))
  stated = jnp.zeros(())
  for wanted, parsed_value in zip(facts[:4], parsed[1:5], strict=True):
    constrained = (wanted != FREE) & used
    same = (wanted[:, None] == parsed_value[None, :]) & parsed.present[None, :]
    agreement += constrained[:, None] & same
    stated += constrained.sum()
  assignments = jnp.asarray(_ASSIGNMENTS)  # [A, K]
  score = agreement[jnp.arange(SLOTS), assignments].sum(-1)  # [A]
  for subject, kind, object_ in facts.relations:
    first, second = assignments[:, subject], assignments[:, object_]
    gap = parsed.center[second] - parsed.center[first]
    both = parsed.present[first] & parsed.present[second]
    holds = shapes.holds_relation(kind, gap[:, 1], gap[:, 0], JUDGE_MARGIN)
    score += holds & both & (kind != FREE)
    stated += kind != FREE
  counted = parsed.present.sum() == facts.objects
  # Among equal assignments, one whose objects exist.
  exists = (parsed.present[assignments] & used[None]).sum(-1)
  best = jnp.argmax(score + 0.01 * exists)
  total = score[best] + counted
  assignment = assignments[best]
  return Verdict(
    facts=total / (stated + 1),
    success=total >= stated + 0.5,
    fidelity=parsed.fidelity,
    assignment=assignment,
    complete=(parsed.present[assignment] | ~used).all(),
  )


def describe(images: Array) -> list[str]:
  """The parse as text: 'large striped red circle, small blue square'."""
  parsed = jax.tree.map(np.asarray, jax.jit(parse)(images))
  texts = []
  for row in range(len(parsed.fidelity)):
    things = [
      ' '.join(
        (
          shapes.SIZES[parsed.size[row, i]],
          shapes.STYLES[parsed.style[row, i]].replace('filled', ''),
          shapes.COLORS[parsed.color[row, i]],
          shapes.SHAPES[parsed.shape[row, i]],
        )
      ).replace('  ', ' ')
      for i in np.flatnonzero(parsed.present[row])
    ]
    texts.append(', '.join(things) or 'nothing')
  return texts
