"""The prompts of a file that are evaluated: each once, of every category."""

from collections import Counter

from adrpo_jax.builders.tasks.base import sampled
from adrpo_jax.data.prompts import PromptSet

# Sorted by category, as GenEval's file is.
TAGS = ('one',) * 40 + ('many',) * 10 + ('where',) * 3
LISTED = PromptSet(
  tuple(f'prompt {i}' for i in range(len(TAGS))),
  TAGS,
  tuple(str(i) for i in range(len(TAGS))),
)


def test_a_longer_file_is_sampled_over_its_categories():
  chosen = sampled(LISTED, 9)
  assert Counter(chosen.categories) == {'one': 3, 'many': 3, 'where': 3}
  assert chosen.categories[:3] == ('one', 'many', 'where')
  assert chosen == sampled(LISTED, 9)
  assert set(chosen.texts) < set(sampled(LISTED, 20).texts)
  for text, answer in zip(chosen.texts, chosen.answers, strict=True):
    assert text == f'prompt {answer}'


def test_a_small_category_repeats_nothing():
  chosen = sampled(LISTED, 30)
  assert Counter(chosen.categories) == {'one': 17, 'many': 10, 'where': 3}
  assert len(set(chosen.texts)) == 30


def test_a_shorter_file_is_taken_whole_and_in_order():
  assert sampled(LISTED, len(TAGS)) == LISTED
  assert sampled(LISTED, 1000) == LISTED


def test_repeated_prompts_count_once():
  listed = PromptSet(('a', 'b', 'a', 'c', 'b'), ('x', 'y', 'y', 'x', 'y'))
  assert sampled(listed, 8).texts == ('a', 'b', 'c')
  assert sampled(listed, 8).categories == ('x', 'y', 'x')
  assert sorted(sampled(listed, 2).texts) in (['a', 'b'], ['b', 'c'])


def test_one_question_about_two_sounds_counts_twice():
  listed = PromptSet(('a',) * 4, ('x',) * 4, audio=('1', '2', '1', '2'))
  assert sampled(listed, 8).audio == ('1', '2')


def test_a_file_without_categories_is_sampled_too():
  listed = PromptSet(tuple(map(str, range(100))), ('all',) * 100)
  chosen = sampled(listed, 50)
  assert len(set(chosen.texts)) == 50
  assert len(set(chosen.texts) & set(listed.texts[:50])) < 40
