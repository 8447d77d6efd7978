"""Prompts of the grammar: what they ask for, and what is held out."""

from collections import Counter
import itertools

import pytest

from adrpo_jax.worlds.instructions import grammar
from adrpo_jax.worlds.instructions.constraints import constraints
from adrpo_jax.worlds.instructions.kinds import KINDS
from adrpo_jax.worlds.instructions.topics import TOPICS, topics
from adrpo_jax.worlds.instructions.wordings import WORDINGS


def pairs(kinds):
  return {frozenset(pair) for pair in itertools.combinations(sorted(kinds), 2)}


def of(split, count=600, seed=0):
  return grammar.instructions(split, count, seed)


def asked(made):
  return [tuple(one.kind for one in i.constraints) for i in made]


def topic_of(text):
  (topic,) = (t for t in TOPICS if f'about {t}.' in text)
  return topic


def test_the_first_prompt_is_the_same_everywhere():
  (first,) = of('train', 1)
  assert first.text == (
    'Write a short text about a market on Saturday. Count your sentences: '
    'there must be exactly 2.'
  )
  assert first.constraints == constraints([{'kind': 'sentences', 'exactly': 2}])


def test_prompts_are_unlike_and_depend_on_split_and_seed():
  texts = [i.text for i in of('train')]
  assert len(set(texts)) == 600
  assert texts[:50] == [i.text for i in of('train', 50)]
  others = {i.text for i in of('train', seed=1)}
  assert len(others & set(texts)) < 60


def test_categories_come_in_turn():
  made = of('train')
  assert Counter(i.category for i in made) == dict.fromkeys(
    ('one', 'two', 'three'), 200
  )
  for i in made:
    assert {1: 'one', 2: 'two', 3: 'three'}[len(i.constraints)] == i.category
  assert Counter(i.category for i in of('held_out')) == dict.fromkeys(
    ('new_topics', 'new_combinations'), 300
  )


def test_what_is_held_out_is_in_no_training_prompt():
  trained = of('train', 3000)
  seen = set().union(*map(pairs, asked(trained)))
  assert {topic_of(i.text) for i in trained} == set(topics(held_out=False))
  for i in of('held_out'):
    (kinds,) = asked([i])
    if i.category == 'new_topics':
      assert topic_of(i.text) in topics(held_out=True)
      assert pairs(kinds) <= seen
    else:
      assert topic_of(i.text) in topics(held_out=False)
      assert pairs(kinds) - seen
  assert not set(topics(True)) & set(topics(False))


def test_every_kind_is_asked_for_and_said_with_its_values():
  made = of('train', 3000)
  assert {kind for kinds in asked(made) for kind in kinds} == set(WORDINGS)
  assert set(WORDINGS) <= set(KINDS)
  for i in made:
    assert '{' not in i.text
    for one in i.constraints:
      for value in one.fields.values():
        listed = value if isinstance(value, list) else [value]
        assert all(str(v) in i.text for v in listed)


@pytest.mark.parametrize('kind', WORDINGS)
def test_every_wording_is_of_a_constraint_that_can_be_read(kind):
  for wording in WORDINGS[kind]:
    for values in itertools.product(*wording.fields.values()):
      fields = dict(zip(wording.fields, values, strict=True))
      (read,) = constraints([{'kind': kind, **fields}])
      assert read.kind == kind
    for sentence in wording.sentences:
      assert all(f'{{{field}}}' in sentence for field in wording.fields)


def test_another_split_is_refused():
  with pytest.raises(ValueError, match="'test'"):
    of('test')
