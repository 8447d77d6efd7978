"""The embedded tasks: a generator, an exact verifier, pre-training data."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import (
  shapes,
  shapes_diversity,
  shapes_judge,
  shapes_prompts,
)


class World(NamedTuple):
  """What a run asks of a world.

  prompts:  (split) -> (text, category) of every prompt of that split
  tokenise: (texts) -> [N, L]
  facts:    (texts) -> pytree [N, ...], what rewards hold samples against
  spread:   (images [P, G, ...], facts) -> (spread [P], readable [P, G])
  truth:    (facts [P, ...], G) -> images [P, G, ...], right by construction
  describe: (images [B, ...]) -> what the judge sees in each, as text
  reduced:  (pictures [..., H, W, 3]) -> at the world's own size
  """

  prompts: Callable[[str], tuple[tuple[str, str], ...]]
  tokenise: Callable[[Sequence[str]], np.ndarray]
  facts: Callable[[Sequence[str]], PyTree]
  spread: Callable[[Array, PyTree], tuple[Array, Array]]
  truth: Callable[[PyTree, int], Array]
  describe: Callable[[Array], list[str]]
  reduced: Callable[[np.ndarray], np.ndarray]


WORLDS = {
  'shapes': World(
    prompts=shapes_prompts.prompts,
    tokenise=shapes_prompts.tokenise,
    facts=shapes_prompts.facts,
    spread=shapes_diversity.spread,
    truth=shapes_diversity.truth,
    describe=shapes_judge.describe,
    reduced=shapes.reduced,
  )
}
