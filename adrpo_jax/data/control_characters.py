r"""LaTeX whose backslashes JSON has read as control characters.

In JSON "\\frac" is a backslash and "frac", but "\frac" a form feed and "rac": a
formula of which no judge can know what was meant.
"""

from collections.abc import Iterable
import re

from absl import logging

from adrpo_jax.data.readers import PromptRow

_ESCAPES = {'\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}
# What is left of a command behind its first letter. Tabs and line ends are
# usual in texts, a form feed or a backspace in front of a letter is not.
_EATEN = re.compile(
  r'[\b\f](?=[a-z])'
  r'|\t(?=imes|ext\{|extbf|extrm|frac|heta|ilde|riangle)'
  r'|\n(?=(?:eq|abla|otin)\b)'
  r'|\r(?=(?:ho|ight|ightarrow|angle)\b)'
)


def warn_of_control_characters(
  source: str, unit: str, rows: Iterable[PromptRow]
) -> None:
  """Warns of rows whose text has lost backslashes, once for a source."""
  eaten = [
    (row.number, found)
    for row in rows
    if (found := _EATEN.search(row.text) or _EATEN.search(row.answer or ''))
  ]
  if eaten:
    number, found = eaten[0]
    letter = _ESCAPES[found[0][0]]
    logging.warning(
      '%d rows of %s hold control characters, the first on %s %d: %r, as of '
      'LaTeX with single backslashes. JSON reads "\\%s" as one character; '
      'write two backslashes, "\\\\%s".',
      *(len(eaten), source, unit, number),
      found.string[max(0, found.start() - 10) : found.end() + 10],
      letter,
      letter,
    )
