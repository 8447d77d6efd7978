"""The options of a question, and which of them is right."""

from collections.abc import Sequence
from typing import Any

from adrpo_jax.data.json_fields import Number, field_text


def options_and_answer(
  listed: Any, answer: str | None
) -> tuple[tuple[str, ...], str | None]:
  """Returns the options of a question as texts, and the right one of them.

  Args:
    listed: the options, as a file has them.
    answer: the text of the right option, or as a `Number` its index from 0; a
      number among options that are numbers is a text. None or blank for none.

  Raises:
    ValueError: there are fewer than two options, one is blank or no text, or
      the answer is not among them.
  """
  if not isinstance(listed, list | tuple):
    raise ValueError(
      f'expected a list of options, got {str(listed)[:60]!r}. Write them as a '
      'list of texts.'
    )
  texts = [field_text(option) for option in listed]
  options = tuple(text.strip() for text in texts if text is not None)
  if len(options) < max(2, len(listed)) or not all(options):
    raise ValueError(
      f'expected at least two options, none of them blank, got {list(listed)}.'
    )
  if answer is None or not answer.strip():
    return options, None
  if isinstance(answer, Number) and not any(
    isinstance(text, Number) for text in texts
  ):
    return options, options[_index(answer, options)]
  if answer.strip() not in options:
    raise ValueError(
      f'expected the right answer to be one of the options {list(options)}, or '
      f'the index of one from 0, got {answer.strip()!r}.'
    )
  return options, answer.strip()


def _index(answer: str, options: Sequence[str]) -> int:
  indices = [str(i) for i in range(len(options))]
  if answer not in indices:
    raise ValueError(
      f'expected the right answer as its text or its index, from 0 to '
      f'{indices[-1]}, got {answer}, beside the options {list(options)}.'
    )
  return int(answer)
