"""Which manner of showing belongs to which kind of kept samples."""

from collections.abc import Sequence
from typing import Any

from adrpo_jax.report.cards import Column, Manner
from adrpo_jax.report.image_cards import PICTURES
from adrpo_jax.report.text_cards import ANSWERS
from adrpo_jax.samples.image_file import Samples
from adrpo_jax.samples.text_file import TextSamples

OF_KIND: dict[type, Manner] = {Samples: PICTURES, TextSamples: ANSWERS}


def manner_of(columns: Sequence[Column[Any]]) -> Manner:
  """How to show columns, which are of one kind; see `same_prompts`."""
  return OF_KIND[type(columns[0].samples)]
