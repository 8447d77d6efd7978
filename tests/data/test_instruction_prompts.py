"""The source of prompts with constraints, by name and as a file."""

import pytest

from adrpo_jax.data import instruction_prompts, prompts
from adrpo_jax.errors import InputError
from adrpo_jax.worlds.instructions import grammar
from adrpo_jax.worlds.instructions.constraints import of_reference


def test_a_source_is_read_by_name():
  read = prompts.load('instructions:held_out:6:3')
  made = grammar.instructions('held_out', 6, 3)
  assert read.texts == tuple(i.text for i in made)
  assert read.categories == ('new_topics', 'new_combinations') * 3
  assert [of_reference(a) for a in read.answers] == (
    [i.constraints for i in made]
  )
  assert read.lines == tuple(range(6))
  assert len(prompts.load('instructions:train')) == 2000


def test_a_written_file_holds_the_same(tmp_path):
  source, path = 'instructions:train:40', tmp_path / 'p.jsonl'
  instruction_prompts.write(source, path)
  named, read = prompts.load(source), prompts.load(str(path))
  assert (read.texts, read.categories) == (named.texts, named.categories)
  assert read.answers == named.answers


@pytest.mark.parametrize(
  ('source', 'says'),
  [
    ('instructions:', "got 'instructions:'"),
    ('instructions:heldout', "Did you mean 'held_out'"),
    ('instructions:train:0', 'a count from 1 to 20000'),
    ('instructions:train:99999999', 'a count from 1 to 20000'),
    ('instructions:train:10:-1', "got 'instructions:train:10:-1'"),
  ],
)
def test_a_source_that_cannot_be_read_is_refused(source, says):
  with pytest.raises(InputError, match=says):
    prompts.load(source)
