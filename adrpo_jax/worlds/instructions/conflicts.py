"""Constraints that no answer meets together, found before a run begins.

The pairs that are checked are those below; others, such as a long text that is
to be contained in few words, are not found.
"""

from collections.abc import Iterator, Mapping, Sequence
import itertools
from typing import Any

from adrpo_jax.worlds.instructions import units
from adrpo_jax.worlds.instructions.kinds import no_comma, no_digit

Given = tuple[str, Mapping[str, Any]]  # a kind and its fields

# Kinds that only one constraint of a prompt may have.
ALONE = frozenset({'starts_with', 'ends_with', 'json_object'})
OPPOSITES = (
  {'lowercase', 'uppercase'},
  {'numbered', 'no_digit'},
  {'title', 'quoted'},
  *({'json_object', other} for other in ('title', 'quoted', 'starts_with')),
  *({'json_object', other} for other in ('ends_with', 'bullets', 'numbered')),
)
# Every unit of the first kind holds at least one of the second.
HOLDS = (
  ('sentences', 'words'),
  ('paragraphs', 'sentences'),
  ('bullets', 'sentences'),
  ('numbered', 'sentences'),
  ('paragraphs', 'words'),
  ('bullets', 'words'),
  ('numbered', 'words'),
)


def check_together(listed: Sequence[Given]) -> None:
  """Checks that an answer can meet all constraints of a list.

  Raises:
    ValueError: two that exclude each other; names both.
  """
  for first, second in itertools.permutations(listed, 2):
    if reason := next(_reasons(first, second), ''):
      raise ValueError(
        f'expected constraints that an answer can meet together, got {reason}. '
        'Remove one.'
      )


def _reasons(first: Given, second: Given) -> Iterator[str]:
  (one, a), (other, b) = first, second
  if one == other and (one in ALONE or a == b):
    yield f'{one!r} twice'
  if {one, other} in OPPOSITES:
    yield f'{one!r} and {other!r}'
  if (one, other) in HOLDS or one == other:
    low, high = _low(a), _high(b)
    if high is not None and low > high:
      yield f'at least {low} {one} in at most {high} {other}'
  if other == 'no_comma' and len(a.get('keys', ())) > 1:
    yield f'{one!r} of {len(a["keys"])} keys and {other!r}'
  for text in () if one == 'avoids' else _texts(a):
    if other == 'avoids' and units.holds(units.plain(text), b['word']):
      yield f'{one!r} and {other!r} of {text!r}'
    if other == 'no_comma' and not no_comma(text):
      yield f'{one!r} of {text!r} and {other!r}'
    if other == 'no_digit' and not no_digit(text):
      yield f'{one!r} of {text!r} and {other!r}'


def _texts(fields: Mapping[str, Any]) -> list[str]:
  """The texts that an answer must hold."""
  values = (v for key, v in fields.items() if key in ('text', 'word', 'keys'))
  return [t for v in values for t in (v if isinstance(v, list) else [v])]


def _low(fields: Mapping[str, Any]) -> int:
  return fields.get('exactly', fields.get('at_least', 0))


def _high(fields: Mapping[str, Any]) -> int | None:
  return fields.get('exactly', fields.get('at_most'))
