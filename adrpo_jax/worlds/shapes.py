"""The shapes world: scenes of colored shapes, and how they are drawn.

It is a synthetic counterpart of the tasks of DrawBench and GenEval. A prompt
states facts (`Facts`); a scene (`Scene`) is one way to satisfy them. What the
facts leave free is drawn at random. Objects are placed one after the other on
the positions that are still free, and never touch. Places lie on a lattice of
PITCH pixels, one cell of the latents: with places at every pixel, a model that
two cores can train knew colors but not shapes after 460,800 images. Everything
here is a pure function on arrays, batched with `jax.vmap`.

Letters: K slots for objects (4), R relations (2), H = W = 32 pixels.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.types import Array

SHAPES = ('circle', 'square', 'triangle', 'cross')
COLORS = ('red', 'green', 'blue', 'yellow', 'purple', 'black')
SIZES = ('small', 'medium', 'large')
STYLES = ('filled', 'outlined', 'striped')
RELATIONS = ('left of', 'right of', 'above', 'below')

FREE = -1  # an attribute that the prompt does not mention
SLOTS, RELATION_SLOTS = 4, 2
SIDE = 32  # pixels of an image
PIXELS = (8, 10, 12)  # width of a small, medium and large object
WINDOW = max(PIXELS)
PLACES = SIDE - min(PIXELS) + 1  # top-left corners along an axis
TINT = 0.3  # ink between the stripes of a striped object
PITCH = 4  # pixels between neighboring places of corners
GAP = 2  # pixels between any two objects
MARGIN = 6  # pixels between centers when a relation is drawn
ATTEMPTS = 24  # placements of a scene; the first complete one is used

BACKGROUND = np.array([0.96, 0.96, 0.96], np.float32)
PALETTE = np.array(
  [
    [0.87, 0.16, 0.16],
    [0.16, 0.65, 0.27],
    [0.16, 0.36, 0.87],
    [0.95, 0.75, 0.12],
    [0.62, 0.24, 0.76],
    [0.10, 0.10, 0.12],
  ],
  np.float32,
)
STYLE_SHARES = np.array([0.6, 0.2, 0.2], np.float32)  # where style is free


class Facts(NamedTuple):
  """The facts that a prompt states: integers, FREE where it states nothing.

  shape, color, size, style: [*, K], the attributes of each object
  objects:   [*], the number of objects; later slots are unused
  relations: [*, R, 3], (subject slot, index in RELATIONS or FREE, object slot)
  """

  shape: Array
  color: Array
  size: Array
  style: Array
  objects: Array
  relations: Array


class Scene(NamedTuple):
  """Objects at their places. All [*, K]; `top` and `left` in pixels."""

  present: Array
  shape: Array
  color: Array
  size: Array
  style: Array
  top: Array
  left: Array


def _template(shape: str, style: str, pixels: int) -> np.ndarray:
  """The coverage in [0, 1] of one object in the top left of a window."""
  fine = 8  # subsamples along each axis of a pixel
  centers = (np.arange(WINDOW * fine) + 0.5) / fine
  y, x = np.meshgrid(centers, centers, indexing='ij')
  # Signed distance to the outline, negative inside, in pixels.
  half = pixels / 2
  dy, dx = y - half, x - half
  arm = 0.22 * pixels
  slope = np.hypot(1.0, 0.5)
  distance = {
    'circle': np.hypot(dy, dx) - half,
    'square': np.maximum(abs(dy), abs(dx)) - half,
    'triangle': np.maximum((abs(dx) - 0.5 * y) / slope, y - pixels),
    'cross': np.maximum(
      np.maximum(abs(dy), abs(dx)) - half,
      np.minimum(abs(dy), abs(dx)) - arm,
    ),
  }[shape]
  ink = {
    'filled': 1.0,
    'outlined': distance > (-1.0 if shape == 'cross' else -1.5),
    'striped': np.where(np.floor(x / 2).astype(int) % 2 == 0, 1.0, TINT),
  }[style] * (distance < 0)
  return ink.reshape(WINDOW, fine, WINDOW, fine).mean((1, 3)).astype(np.float32)


TEMPLATES = np.stack(
  [
    _template(shape, style, pixels)
    for shape in SHAPES
    for style in STYLES
    for pixels in PIXELS
  ]
).reshape(len(SHAPES), len(STYLES), len(PIXELS), WINDOW, WINDOW)


def render(scene: Scene) -> Array:
  """Draws one scene: [K] attributes -> an image [H, W, 3] in [0, 1]."""

  def draw(canvas, thing):
    coverage = jnp.asarray(TEMPLATES)[thing.shape, thing.style, thing.size]
    mask = jnp.zeros((SIDE + WINDOW, SIDE + WINDOW))
    mask = jax.lax.dynamic_update_slice(mask, coverage, (thing.top, thing.left))
    mask = (mask[:SIDE, :SIDE] * thing.present)[..., None]
    color = jnp.asarray(PALETTE)[None, None, thing.color]
    return canvas + mask * (color - canvas), None

  empty = jnp.broadcast_to(jnp.asarray(BACKGROUND), (SIDE, SIDE, 3))
  return jax.lax.scan(draw, empty, scene, unroll=True)[0]


def complete(facts: Facts, key: Array) -> Scene:
  """One random scene that satisfies the facts of one prompt, [K] each."""
  scenes, whole = jax.vmap(lambda k: _attempt(facts, k))(
    jax.random.split(key, ATTEMPTS)
  )
  first = jnp.argmax(whole)
  return jax.tree.map(lambda leaf: leaf[first], scenes)


def draw(facts: Facts, key: Array) -> Array:
  """One random image for each prompt: facts [B, ...] -> [B, H, W, 3]."""
  keys = jax.random.split(key, facts.objects.shape[0])
  return jax.vmap(lambda f, k: render(complete(f, k)))(facts, keys)


def _attempt(facts: Facts, key: Array) -> tuple[Scene, Array]:
  attributes, places = jax.random.split(key)
  shape, color, size, style = _fill(facts, attributes)
  pixels = jnp.asarray(PIXELS)[size]
  used = jnp.arange(SLOTS) < facts.objects
  corner = jnp.arange(0, PLACES, PITCH)
  top = jnp.zeros(SLOTS, int)
  left = jnp.zeros(SLOTS, int)
  whole = jnp.array(True)
  for slot, k in enumerate(jax.random.split(places, SLOTS)):
    y, x, side = corner[:, None], corner[None, :], pixels[slot]
    open_ = (y + side <= SIDE) & (x + side <= SIDE)
    for other in range(slot):
      apart = _apart(y, side, top[other], pixels[other]) | _apart(
        x, side, left[other], pixels[other]
      )
      open_ &= apart | ~used[other]
    centers = (
      (top + pixels / 2).at[slot].set(0.0),
      (left + pixels / 2).at[slot].set(0.0),
    )
    open_ &= _related(
      facts.relations, slot, y + side / 2, x + side / 2, centers
    )
    flat = open_.reshape(-1)
    choice = jax.random.categorical(k, jnp.where(flat, 0.0, -jnp.inf))
    row, column = jnp.divmod(choice, corner.size)
    top = top.at[slot].set(corner[row])
    left = left.at[slot].set(corner[column])
    whole &= flat.any() | ~used[slot]
  return Scene(used, shape, color, size, style, top, left), whole


def _fill(facts: Facts, key: Array) -> tuple[Array, ...]:
  """Draws the attributes that the facts leave free."""
  filled = []
  for i, (stated, shares) in enumerate(
    [
      (facts.shape, jnp.ones(len(SHAPES))),
      (facts.color, jnp.ones(len(COLORS))),
      (facts.size, jnp.ones(len(SIZES))),
      (facts.style, jnp.asarray(STYLE_SHARES)),
    ]
  ):
    chance = jax.random.categorical(
      jax.random.fold_in(key, i), jnp.log(shares), shape=(SLOTS,)
    )
    filled.append(jnp.where(stated == FREE, chance, stated))
  return tuple(filled)


def downscale(images: np.ndarray) -> np.ndarray:
  """Reduces enlarged images [..., H, W, 3] to SIDE × SIDE pixels.

  Raises:
    ValueError: the size is not an integer multiple of SIDE.
  """
  height, width = images.shape[-3:-1]
  if height != width or height % SIDE:
    raise ValueError(
      f'Expected images of {SIDE} × {SIDE} pixels of the shapes world, or an '
      f'integer multiple of that, got {width} × {height}.'
    )
  times = height // SIDE
  return images[..., times // 2 :: times, times // 2 :: times, :]


def _apart(a: Array, a_side: Array, b: Array, b_side: Array) -> Array:
  """Returns True where two intervals are at least GAP pixels apart."""
  return (a >= b + b_side + GAP) | (b >= a + a_side + GAP)


def _related(
  relations: Array, slot: int, y: Array, x: Array, centers: tuple
) -> Array:
  """Returns True where a center (y, x) satisfies its relations."""
  satisfied = jnp.ones(jnp.broadcast_shapes(y.shape, x.shape), bool)
  for r in range(RELATION_SLOTS):
    subject, kind, object_ = relations[r]
    for other in range(slot):
      as_subject = (subject == slot) & (object_ == other)
      as_object = (object_ == slot) & (subject == other)
      sign = jnp.where(as_subject, 1, -1)
      gaps = centers[1][other] - x, centers[0][other] - y  # rightwards, down
      holds = holds_relation(kind, sign * gaps[0], sign * gaps[1], MARGIN)
      satisfied &= holds | ~(as_subject | as_object)
  return satisfied


def holds_relation(kind: Array, dx: Array, dy: Array, margin: float) -> Array:
  """Checks a relation, by object center − subject center.

  'left of' means dx ≥ margin, 'above' means dy ≥ margin (rows grow downwards);
  a FREE relation always holds. `kind` is a scalar; dx and dy [*] -> [*] bool.
  """
  relations = jnp.stack(jnp.broadcast_arrays(dx, -dx, dy, -dy)) >= margin
  return jnp.where(kind == FREE, True, relations[kind])
