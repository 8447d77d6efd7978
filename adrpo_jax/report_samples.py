"""Which manner of showing belongs to which kind of kept samples."""

from collections.abc import Sequence
from typing import Any

from adrpo_jax.kept_samples import Samples
from adrpo_jax.kept_texts import TextSamples
from adrpo_jax.report_cards import Column, Manner
from adrpo_jax.report_pictures import PICTURES
from adrpo_jax.report_texts import ANSWERS

OF_KIND: dict[type, Manner] = {Samples: PICTURES, TextSamples: ANSWERS}


def manner_of(columns: Sequence[Column[Any]]) -> Manner:
  """How to show columns, which are of one kind; see `same_prompts`."""
  return OF_KIND[type(columns[0].samples)]
