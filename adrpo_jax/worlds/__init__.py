"""Worlds: embedded tasks with a generator, an exact judge, training data."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from adrpo_jax.worlds.tones import (
  clips,
  examples,
  items,
  judge,
  tokenizer,
  verdicts,
)
from adrpo_jax.worlds.tones.items import Item


class World(NamedTuple):
  """The functions of a world of images.

  prompts:   (split) -> (text, category) of every prompt of that split
  tokenize:  (texts) -> [N, L]
  facts:     (texts) -> pytree [N, ...], what rewards compare samples with
  spread:    (images [P, G, ...], facts) -> (spread [P], readable [P, G])
  truth:     (facts [P, ...], G) -> images [P, G, ...], right by construction
  describe:  (images [B, ...]) -> the parse of each by the judge, as text
  downscale: (images [..., H, W, 3]) -> the images at the size of the world
  """

  prompts: Callable[[str], tuple[tuple[str, str], ...]]
  tokenize: Callable[[Sequence[str]], np.ndarray]
  facts: Callable[[Sequence[str]], PyTree]
  spread: Callable[[Array, PyTree], tuple[Array, Array]]
  truth: Callable[[PyTree, int], Array]
  describe: Callable[[Array], list[str]]
  downscale: Callable[[np.ndarray], np.ndarray]


WORLDS = {
  'shapes': World(
    prompts=shapes_prompts.prompts,
    tokenize=shapes_prompts.tokenize,
    facts=shapes_prompts.facts,
    spread=shapes_diversity.spread,
    truth=shapes_diversity.truth,
    describe=shapes_judge.describe,
    downscale=shapes.downscale,
  )
}


class Escape(NamedTuple):
  """The condition for a run to have left the local optimum of its task.

  success: the success of its held-out evaluation is above this
  fact:    a number of the world's judge; evaluations without it had another
  """

  success: float
  fact: str


class TextWorld(NamedTuple):
  """The functions of a world of texts.

  prompts:   (split) -> (text, category) of every prompt of that split
  answer:    (text) -> a right answer; ValueError for a text that is no prompt
  judge:     (text, answer) -> 'reward', 'success' and further facts, each in
             [0, 1]; every string is judged
  pairs:     (count, seed) -> (text, answer), the training data of a base
  tokenizer: (folder) -> None, writes one in Hugging Face's format
  escape:    the condition to leave its local optimum; None without one
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
    escape=Escape(sort_or_pass.ESCAPE_SUCCESS, 'passed'),
  ),
}


class AudioWorld(NamedTuple):
  """The functions of a world of clips.

  items:     (split) -> every item of that split, a prompt about a clip
  wave:      (address of a clip) -> [samples] float32 at `rate`; ValueError for
             a text that is no address
  rate:      samples a second
  judge:     (text, completion, right completion) -> 'reward', 'success' and
             further facts, each in [0, 1]; every completion is judged
  examples:  (count, seed) -> (item, completion), the training data of a base
  solved:    the same with right completions only, from which rules are learned
  tokenizer: (folder) -> None, writes one in Hugging Face's format
  heard:     (address of a clip) -> what is in it, as text
  verdict:   (text, completion, right completion) -> the judge's words
  """

  items: Callable[[str], tuple[Item, ...]]
  wave: Callable[[str], np.ndarray]
  rate: int
  judge: Callable[[str, str, str], Mapping[str, float]]
  examples: Callable[[int, int], list[tuple[Item, str]]]
  solved: Callable[[int, int], list[tuple[Item, str]]]
  tokenizer: Callable[[pathlib.Path], None]
  heard: Callable[[str], str]
  verdict: Callable[[str, str, str], str]


AUDIO_WORLDS = {
  'tones': AudioWorld(
    items=items.items,
    wave=lambda address: clips.wave(clips.from_address(address)),
    rate=clips.RATE,
    judge=judge.judge,
    examples=examples.examples,
    solved=partial(examples.examples, wrong_share=0.0, plain_share=0.0),
    tokenizer=tokenizer.write_tokenizer,
    heard=verdicts.heard,
    verdict=verdicts.verdict,
  ),
}
