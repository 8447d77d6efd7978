"""What differs between images and texts once they are made."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

from etils import epath

from adrpo_jax.report import image_cards, text_cards
from adrpo_jax.report.cards import Column
from adrpo_jax.samples import images, texts
from adrpo_jax.samples.image_file import Samples
from adrpo_jax.samples.text_file import TextSamples


class SampleKind(NamedTuple):
  """What a run keeps of its samples, writes of them and shows in a report.

  noun:      the name of the samples
  arrays:    (decoded) -> name -> [P, G, ...], what is kept of them; pure
  diagnosed: diagnostics of a loss that are kept with them
  keep:      (words, path, kept arrays of some prompts with their scores, these
             prompts) -> None: writes the file that a report reads
  write:     (words, folder, PromptSet, kept arrays) -> None: writes the files
             of --mode=sample
  logged:    (file that `keep` wrote) -> name -> what W&B logs of its samples
  title:     of the section of a report that compares base and tuned
  lead:      how to read that section
  pairs:     (base, tuned) -> HTML, a card for each prompt
  by_method: (columns) -> HTML, a card for each prompt
  files:     (columns) -> name -> bytes, the files written beside the page

  `words` puts samples into text: for images the `describe` of a judge, for
  texts a tokenizer. A run gives it once, by `bind`.
  """

  noun: str
  arrays: Callable[[Any], Mapping[str, Any]]
  diagnosed: tuple[str, ...]
  keep: Callable[..., None]
  write: Callable[..., None]
  logged: Callable[[epath.Path], Mapping[str, Any]]
  title: str
  lead: str
  pairs: Callable[[Any, Any], str]
  by_method: Callable[[Any], str]
  files: Callable[[Any], dict[str, bytes]]

  def bind(self, words: Any, **kept: Callable[..., Any]) -> Self:
    """The kind with `words` given to `keep` and `write`.

    kept: what `keep` takes besides, such as the clips of prompts of sound.
    """
    return self._replace(
      keep=partial(self.keep, words, **kept), write=partial(self.write, words)
    )


IMAGES = SampleKind(
  noun='images',
  arrays=images.arrays,
  diagnosed=(),
  keep=images.keep,
  write=images.write,
  logged=images.logged,
  title=image_cards.TITLE,
  lead=image_cards.LEAD,
  pairs=image_cards.pairs,
  by_method=image_cards.by_method,
  files=image_cards.files,
)
TEXTS = SampleKind(
  noun='answers',
  arrays=texts.arrays,
  diagnosed=('log_ratio',),
  keep=texts.keep,
  write=texts.write,
  logged=texts.logged,
  title=text_cards.TITLE,
  lead=text_cards.LEAD,
  pairs=text_cards.pairs,
  by_method=text_cards.by_method,
  files=lambda columns: {},
)
OF_FILE: dict[type, SampleKind] = {Samples: IMAGES, TextSamples: TEXTS}


def kind_of(columns: Sequence[Column[Any]]) -> SampleKind:
  """The kind of columns that pass `cards.same_prompts`."""
  return OF_FILE[type(columns[0].samples)]
