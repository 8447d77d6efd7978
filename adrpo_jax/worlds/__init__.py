"""The embedded tasks: a generator, an exact verifier, pre-training data."""

from collections.abc import Callable, Mapping, Sequence
import pathlib
from typing import NamedTuple

import numpy as np

from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import (
  shapes,
  shapes_diversity,
  shapes_judge,
  shapes_prompts,
  sort,
  sort_or_pass,
  sort_tokenizer,
)


class World(NamedTuple):
  """What a run asks of a world.

  prompts:  (split) -> (text, category) of every prompt of that split
  tokenize: (texts) -> [N, L]
  facts:    (texts) -> pytree [N, ...], what rewards hold samples against
  spread:   (images [P, G, ...], facts) -> (spread [P], readable [P, G])
  truth:    (facts [P, ...], G) -> images [P, G, ...], right by construction
  describe: (images [B, ...]) -> what the judge sees in each, as text
  reduced:  (pictures [..., H, W, 3]) -> at the world's own size
  """

  prompts: Callable[[str], tuple[tuple[str, str], ...]]
  tokenize: Callable[[Sequence[str]], np.ndarray]
  facts: Callable[[Sequence[str]], PyTree]
  spread: Callable[[Array, PyTree], tuple[Array, Array]]
  truth: Callable[[PyTree, int], Array]
  describe: Callable[[Array], list[str]]
  reduced: Callable[[np.ndarray], np.ndarray]


WORLDS = {
  'shapes': World(
    prompts=shapes_prompts.prompts,
    tokenize=shapes_prompts.tokenize,
    facts=shapes_prompts.facts,
    spread=shapes_diversity.spread,
    truth=shapes_diversity.truth,
    describe=shapes_judge.describe,
    reduced=shapes.reduced,
  )
}


class Escape(NamedTuple):
  """When a run has left the local optimum of its task.

  success: of its held-out evaluation, more than this
  fact:    of the world's judge; an evaluation without it was judged otherwise
  """

  success: float
  fact: str


class TextWorld(NamedTuple):
  """What a run asks of a world of texts.

  prompts:   (split) -> (text, category) of every prompt of that split
  answer:    (text) -> a right answer; ValueError for what is no prompt
  judge:     (text, answer) -> 'reward', 'success' and further facts, each in
             [0, 1]; every string is judged
  pairs:     (count, seed) -> (text, answer), what a base is trained on
  tokenizer: (folder) -> None, writes one in Hugging Face's format
  escape:    of its local optimum, None where there is none to speak of
  """

  prompts: Callable[[str], tuple[tuple[str, str], ...]]
  answer: Callable[[str], str]
  judge: Callable[[str, str], Mapping[str, float]]
  pairs: Callable[[int, int], list[tuple[str, str]]]
  tokenizer: Callable[[pathlib.Path], None]
  escape: Escape | None = None


TEXT_WORLDS = {
  'sort': TextWorld(
    prompts=sort.prompts,
    answer=sort.answer,
    judge=sort.judge,
    pairs=sort.pairs,
    tokenizer=sort_tokenizer.write_tokenizer,
  ),
  'sort_or_pass': TextWorld(
    prompts=sort_or_pass.prompts,
    answer=sort_or_pass.answer,
    judge=sort_or_pass.judge,
    pairs=sort_or_pass.pairs,
    tokenizer=sort_tokenizer.write_tokenizer,
    escape=Escape(sort_or_pass.ESCAPED, 'passed'),
  ),
}
