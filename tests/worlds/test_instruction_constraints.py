"""Every kind of constraint by hand, and constraints that are refused."""

import made_strings
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.worlds.instructions import units
from adrpo_jax.worlds.instructions.constraints import (
  constraints,
  of_reference,
  reference,
)
from adrpo_jax.worlds.instructions.kinds import KINDS

WORDS = {'kind': 'words'}
SENTENCES = {'kind': 'sentences'}
JSON = {'kind': 'json_object', 'keys': ['name', 'age']}

# A constraint, answers that meet it, and answers that do not.
CASES = [
  (
    WORDS | {'exactly': 3},
    ['Tea is hot.', '  a\n\tb – c '],
    ['a b', 'a b c d'],
  ),
  (WORDS | {'at_least': 2}, ["don't go", 'naïve café 3.5'], ['well-known', '']),
  (
    WORDS | {'at_most': 2},
    ['茶は熱い', '- one - two -'],
    ['a b c', '…', ' \n'],
  ),
  (WORDS | {'at_least': 2, 'at_most': 3}, ['a b', 'a b c'], ['a', 'a b c d']),
  (
    SENTENCES | {'exactly': 2},
    [
      'Tea is hot. It costs 3.5 euros.',
      'Hello! "Really?"',
      'Dr. J. Smith came. He sat, e.g. here...',
      'No end. here',
      '1. First\n2. Second',
      'お茶。熱い。',
      'a. b',
    ],
    ['One.', 'A b. C d. E f.', 'You and I. We. All.'],
  ),
  (
    SENTENCES | {'at_most': 1},
    ['Wait…', 'At 3.5 or so!'],
    ['Hi. Ho.', 'Oh... no'],
  ),
  (
    {'kind': 'paragraphs', 'exactly': 2},
    ['a\nb\n\nc', 'a\r\n \r\nb\n\n\n', 'a\n\n---\n\nb'],
    ['a\nb', 'a\n\nb\n\nc'],
  ),
  (
    {'kind': 'bullets', 'exactly': 2},
    ['- a\n- b', 'Two:\n* a\n  • b\nEnd.'],
    ['- a', '-a\n-b', '- a\n- \n', '- a\n- b\n- c'],
  ),
  (
    {'kind': 'numbered', 'at_least': 2},
    ['1. a\n2. b', 'So:\n1) a\nand\n2) b\n3) c'],
    ['1. a\n3. b', '2. a\n1. b', '- a\n- b', '1.a\n2.b'],
  ),
  (
    {'kind': 'starts_with', 'text': 'Well now'},
    ['well now, yes', '"Well now"', '  WELL NOW', '**Well now** x'],
    ['Well nowhere', 'Oh, well now', 'Well'],
  ),
  ({'kind': 'starts_with', 'text': 'É'}, ['E\u0301 x', 'é'], ['Éa', 'e']),
  (
    {'kind': 'ends_with', 'text': 'all done'},
    ['I am all done.', 'ALL DONE', '"all done!"\n'],
    ['all done now', 'small all doned', 'overall done'],
  ),
  ({'kind': 'ends_with', 'text': 'Yes?'}, ['so yes?', 'yes?'], ['yes', 'yes!']),
  (
    {'kind': 'contains', 'word': 'green tea'},
    ['Green\n tea!', 'some "green tea"'],
    ['green teas', 'evergreen tea', 'tea green'],
  ),
  ({'kind': 'contains', 'word': "it's"}, ['It’s on', "it's"], ['its', 'it']),
  ({'kind': 'contains', 'word': '?'}, ['Who?', '?a'], ['Who']),
  ({'kind': 'contains', 'word': 'straße'}, ['STRASSE 1'], ['strassen']),
  ({'kind': 'avoids', 'word': 'the'}, ['Then other'], ['on The way', '']),
  ({'kind': 'lowercase'}, ['tea 4 two.', 'été'], ['Tea', '42', 'ǅ', 'É']),
  ({'kind': 'uppercase'}, ['TEA 4 TWO.', 'ÉTÉ'], ['TEa', '42', 'é']),
  ({'kind': 'no_comma'}, ['a; b'], ['a, b', 'a、b', '1,5', '']),
  ({'kind': 'no_digit'}, ['one'], ['1', '٣', 'x²', '']),
  (
    {'kind': 'title'},
    ['[Tea]\nIt is hot.', ' [ My tea ] \n'],
    ['[Tea] It', 'x\n[Tea]', '[]\nx', '[[Tea]]', '[-]\na'],
  ),
  ({'kind': 'quoted'}, ['"Tea."', '“Tea”', ' "a\nb" '], ['"a" b', 'a', '""']),
  (
    JSON,
    [
      '{"age": [1, {"x": 2}], "name": "“a”, b"}',
      '```json\n{"name": null,\n "age": 1}\n```',
    ],
    [
      '{"name": 1}',
      '{"name": 1, "age": 2, "x": 3}',
      '{"name": 1, "name": 2, "age": 3}',
      '{"Name": 1, "age": 2}',
      '{"name": NaN, "age": 2}',
      'So: {"name": 1, "age": 2}',
      '[{"name": 1, "age": 2}]',
      '["name", "age"]',
      '[["name", 1], ["age", 2]]',
      '[' * 100_000 + 'a',
    ],
  ),
]


def name(value):
  return value['kind'] if isinstance(value, dict) else ''


@pytest.mark.parametrize(('given', 'met', 'missed'), CASES, ids=name)
def test_a_constraint_by_hand(given, met, missed):
  (constraint,) = constraints([given])
  assert [a for a in met if not constraint.met(a)] == []
  assert [a for a in missed if constraint.met(a)] == []


def test_every_kind_is_among_the_cases_and_judges_any_string():
  of = [constraints([given])[0] for given, *_ in CASES]
  assert {one.kind for one in of} == set(KINDS)
  pieces = ('[', ']', '"', '{', '}', '.', '\n', '1. ', '- ', 'a', 'I', '\u2028')
  for text in made_strings.strings(pieces, 300):
    assert {one.met(text) for one in of} <= {True, False}


def test_units_by_hand():
  text = 'Mr. Lee, 3.5 m – really? Yes!\nOn 2 lines'
  assert units.words(text) == (
    ['Mr.', 'Lee,', '3.5', 'm', 'really?', 'Yes!', 'On', '2', 'lines']
  )
  assert [one.strip() for one in units.sentences(text)] == (
    ['Mr. Lee, 3.5 m – really?', 'Yes!', 'On 2 lines']
  )


def test_a_reference_holds_the_constraints():
  listed = constraints([WORDS | {'at_most': 9}, JSON, {'kind': 'lowercase'}])
  assert of_reference(reference(listed)) == listed
  for other in (None, '', '42', '{"constraints": [{"kind": "x"}]}', '{"con'):
    assert of_reference(other) == ()
  assert of_reference('{"constraints":' + '[' * 100_000) == ()


@pytest.mark.parametrize(
  ('listed', 'says'),
  [
    ('words', 'as a list of objects.*got "words"'),
    ([], r'as a list of objects.*got \[\]'),
    (['no_comma'], 'an object with a kind.*got "no_comma"'),
    ([{'knd': 'words'}], 'an object with a kind'),
    ([{'kind': 3}], 'an object with a kind'),
    ([{'kind': 'word', 'exactly': 2}], "'word'. Did you mean 'words'"),
    ([WORDS], r'a range at_least, at_most.*got \{\}'),
    ([WORDS | {'at_mots': 2}], "'at_mots'. Did you mean 'at_most'"),
    ([WORDS | {'exactly': 0}], 'from 1 to 1000, got 0'),
    ([WORDS | {'exactly': -3}], 'from 1 to 1000, got -3'),
    ([WORDS | {'exactly': 2.5}], 'whole number.*got 2.5'),
    ([WORDS | {'exactly': True}], 'whole number.*got true'),
    ([WORDS | {'exactly': [2]}], r'whole number.*got \[2\]'),
    ([WORDS | {'exactly': 2, 'at_most': 3}], 'exactly alone'),
    ([WORDS | {'at_least': 4, 'at_most': 3}], 'in order'),
    ([{'kind': 'lowercase', 'word': 'a'}], "'word'. Known: none"),
    ([{'kind': 'contains'}], "'word' of the constraint 'contains'"),
    ([{'kind': 'avoids', 'word': ' '}], 'not blank, got " "'),
    ([{'kind': 'starts_with', 'text': None}], 'not blank, got null'),
    ([{'kind': 'json_object', 'keys': 'name'}], 'a list of texts'),
    ([{'kind': 'json_object', 'keys': []}], 'a list of texts'),
    ([{'kind': 'json_object', 'keys': ['a', 'a']}], 'unlike'),
    ([{'kind': 'lowercase'}, {'kind': 'uppercase'}], "'lowercase' and 'upperc"),
    ([{'kind': 'title'}] * 2, "'title' twice"),
    ([WORDS | {'exactly': 3}, WORDS | {'at_least': 4}], 'at least 4 words in'),
    (
      [SENTENCES | {'at_least': 5}, WORDS | {'at_most': 4}],
      'at least 5 sentences in at most 4 words',
    ),
    (
      [
        {'kind': 'starts_with', 'text': 'My tea'},
        {'kind': 'avoids', 'word': 'Tea'},
      ],
      "'starts_with' and 'avoids' of 'My tea'",
    ),
    (
      [{'kind': 'no_comma'}, {'kind': 'ends_with', 'text': 'so, yes'}],
      "'ends_with' of 'so, yes' and 'no_comma'",
    ),
    ([{'kind': 'no_comma'}, JSON], "'json_object' of 2 keys"),
    ([{'kind': 'quoted'}, JSON], "'json_object'"),
  ],
)
def test_constraints_that_are_refused(listed, says):
  with pytest.raises(ValueError, match=says):
    constraints(listed)


def test_constraints_that_go_together():
  listed = [
    *(WORDS | {'at_least': 5}, WORDS | {'at_most': 30}, {'kind': 'lowercase'}),
    *({'kind': 'avoids', 'word': w} for w in ('tea', 'green tea', 'cup')),
    *({'kind': 'contains', 'word': w} for w in ('hot', 'teas')),
  ]
  assert len(constraints(listed)) == len(listed)
  assert issubclass(InputError, ValueError)
