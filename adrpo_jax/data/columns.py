"""The usual names of columns, keys and features, and what each means."""

from collections.abc import Iterable
from typing import NamedTuple


class ColumnNames(NamedTuple):
  """The possible names of prompts, categories, answers, ..., in order.

  Without names of answers, sounds or options, none are read.
  """

  text: tuple[str, ...]
  category: tuple[str, ...]
  answer: tuple[str, ...]
  audio: tuple[str, ...] = ()
  choices: tuple[str, ...] = ()


DEFAULT_NAMES = ColumnNames(
  (
    'prompt',
    'prompts',
    'caption',
    'captions',
    'text',
    'question',
    'problem',
    'question_text',
  ),
  ('category', 'categories', 'tag'),
  ('answer', 'solution', 'ground_truth', 'constraints'),
  # As MMAR and AVQA, MMAU, MusicBench have them.
  ('audio', 'audio_path', 'audio_id', 'path', 'location'),
  ('choices', 'multi_choice', 'options'),
)
# The categories of questions about sounds, before those of others.
SOUND_CATEGORIES = (
  'task',
  'modality',
  *DEFAULT_NAMES.category,
  'question_type',
)

TEXT_SETTING = 'Name the one with the prompts: --config.prompts.text_column='


def column_names(
  text: str,
  category: str,
  answer: str | None = '',
  *,
  audio: str | None = None,
  choices: str | None = None,
) -> ColumnNames:
  """The names to look for: each argument alone, or the default names for ''.

  None as `answer`, `audio` or `choices` stands for none at all.
  """
  usual = DEFAULT_NAMES
  categories = usual.category if audio is None else SOUND_CATEGORIES

  def optional(name: str | None, names: tuple[str, ...]) -> tuple[str, ...]:
    return () if name is None else (name,) if name else names

  return ColumnNames(
    (text,) if text else usual.text,
    (category,) if category else categories,
    optional(answer, usual.answer),
    optional(audio, usual.audio),
    optional(choices, usual.choices),
  )


def first_of(wanted: Iterable[str], names: Iterable[str]) -> str | None:
  """The first wanted name among `names`, in their spelling; None without."""
  spelt = {name.strip().lower(): name for name in names}
  return next((spelt[w.lower()] for w in wanted if w.lower() in spelt), None)
