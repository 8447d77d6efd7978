"""The text worlds: prompts, exact verifiers, pre-training data, tokenizer."""

import collections

import made_strings
import numpy as np
import pytest

from adrpo_jax.models.files.tokenizers import load_tokenizer, padding_tokenizer
from adrpo_jax.worlds import TEXT_WORLDS, sort, sort_or_pass, sort_tokenizer

PROMPT = 'sort: 7 3 9 3 ='
OTHER = 'sort or pass: 7 3 9 3 ='
PIECES = (*'0123456789', ' ', 'pass', '3 3 7 9', '=', '\n')
world = pytest.mark.parametrize('world', TEXT_WORLDS.values(), ids=TEXT_WORLDS)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  made = tmp_path_factory.mktemp('made') / 'tokenizer'
  sort_tokenizer.write_tokenizer(made)
  return made


@pytest.mark.parametrize(
  ('given', 'facts'),
  [
    ('3 3 7 9', (1, 1, 1, 1)),
    ('3 3 9 7', (1, 1, 0.5, 0)),
    ('7 3 9 3', (1, 1, 0, 0)),
    ('3 3 7', (1, 0, 0.75, 0)),
    ('3 3 7 9 9', (1, 0, 1, 0)),
    ('3 7 9', (1, 0, 0.25, 0)),
    ('4', (1, 0, 0, 0)),
    ('3 3 7 9 ', (0, 0, 0, 0)),
    ('3 3 7 9\n', (0, 0, 0, 0)),
    ('3379', (0, 0, 0, 0)),
    ('3  3 7 9', (0, 0, 0, 0)),
    ('٣ ٣ ٧ ٩', (0, 0, 0, 0)),
    ('pass', (0, 0, 0, 0)),
    ('', (0, 0, 0, 0)),
  ],
)
def test_what_holds_of_an_answer(given, facts):
  verdict = sort.verdict(PROMPT, given)
  assert tuple(verdict[name] for name in sort.FACTS) == facts


def test_the_reward_weighs_success_against_the_other_facts():
  assert sort.judge(PROMPT, '3 3 9 7')['reward'] == 0
  near = sort.judge(PROMPT, '3 3 9 7', success_weight=0.25)
  assert near['reward'] == pytest.approx(0.75 * 2.5 / 3)
  right = sort.judge(PROMPT, '3 3 7 9', success_weight=0.25)
  assert right['reward'] == 1


@pytest.mark.parametrize(
  ('given', 'row'),
  [
    ('pass', (0.3, 0, 1, 0)),
    ('3 3 7 9', (1, 1, 0, 1)),
    ('3 3 9 7', (0, 1, 0, 0)),
    ('3 3 7', (0, 1, 0, 0)),
    ('pass ', (0, 0, 0, 0)),
    ('passpass', (0, 0, 0, 0)),
    ('pass 3 3 7 9', (0, 0, 0, 0)),
    ('', (0, 0, 0, 0)),
  ],
)
def test_the_table_of_the_way_out(given, row):
  said = sort_or_pass.judge(OTHER, given)
  names = ('reward', *sort_or_pass.FACTS)
  assert tuple(said[name] for name in names) == row


@world
def test_a_world_of_texts_keeps_its_contract(world):
  train, held_out = world.prompts('train'), world.prompts('held_out')
  assert len(train) + len(held_out) == sort.PER_LENGTH * len(sort.LENGTHS)
  assert len({text for text, _ in train + held_out}) == len(train + held_out)
  answers = [{world.answer(t) for t, _ in s} for s in (train, held_out)]
  assert not answers[0] & answers[1]
  per = collections.Counter(category for _, category in held_out)
  assert sorted(per) == sorted(sort.CATEGORIES)
  assert min(per.values()) > 300
  for text, _ in held_out:
    said = world.judge(text, world.answer(text))
    assert said['reward'] == said['success'] == 1
  with pytest.raises(ValueError, match="Expected split 'train' or"):
    world.prompts('test')


@world
def test_any_string_is_judged(world):
  text, _ = world.prompts('train')[0]
  seen = set()
  for given in made_strings.strings(PIECES, 2000):
    said = world.judge(text, given)
    assert all(0 <= value <= 1 for value in said.values())
    assert (said['success'] == 1) == (given == world.answer(text))
    seen.add(said['reward'])
  assert 0 in seen


@world
@pytest.mark.parametrize(
  'text', ['', 'sort: =', 'sort:  =', 'sort: 7 3', 'sort: 7, 3 =', '7 3 =']
)
def test_what_is_no_prompt_is_said_to_be_none(world, text):
  with pytest.raises(ValueError, match='Expected a prompt such as "sort'):
    world.judge(text, '3 7')
  with pytest.raises(ValueError, match='got'):
    world.answer(text)


def test_prompts_are_the_same_in_every_version():
  assert sort.prompts('train')[0] == ('sort: 2 5 5 1 =', 'length_4')
  last = 'sort: 8 3 7 1 9 2 0 2 =', 'length_8'
  assert sort.prompts('held_out')[-1] == last
  first, _ = sort_or_pass.prompts('train')[0]
  assert first == 'sort or pass: 2 5 5 1 ='


@world
def test_pairs_come_from_the_seed_and_from_training_prompts(world):
  pairs = world.pairs(500, 3)
  assert pairs == world.pairs(500, 3)
  assert pairs != world.pairs(500, 4)
  category = dict(world.prompts('train'))
  per = collections.Counter(category[text] for text, _ in pairs)
  assert all(60 < per[name] < 140 for name in sort.CATEGORIES)


def test_the_shares_of_wrong_answers_and_of_passes_are_as_stated():
  """Within four standard errors of 4,000 draws."""
  said = [sort.judge(*pair) for pair in sort.pairs(4000, 0)]
  assert np.mean([s['format'] for s in said]) == 1
  assert np.mean([s['success'] for s in said]) == pytest.approx(0.6, abs=0.031)
  said = [sort_or_pass.judge(*pair) for pair in sort_or_pass.pairs(4000, 0)]
  passed, worked, success = (
    np.mean([s[name] for s in said]) for name in ('passed', 'worked', 'success')
  )
  assert passed == pytest.approx(0.5, abs=0.032)
  assert passed + worked == 1
  assert success / worked == pytest.approx(0.25, abs=0.039)
  assert success / worked < sort_or_pass.PASS_REWARD < passed


@pytest.mark.parametrize('right', ['1 2 2 8', '5 5 5 5', '5', '0 1'])
def test_a_corrupted_answer_is_wrong_in_the_right_format(right):
  rng = np.random.default_rng(0)
  text = f'sort: {right} ='
  made = [sort.corrupt(right, rng) for _ in range(200)]
  for given in made:
    said = sort.verdict(text, given)
    assert (said['format'], said['success']) == (1, 0)
  assert len({len(given) for given in made}) >= 2


def test_a_tokenizer_reads_back_what_it_wrote(folder):
  tokenizer = load_tokenizer(folder)
  assert len(tokenizer) == len(sort_tokenizer.VOCABULARY) == 42
  ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
  assert ids == (0, 1, 2)
  for world in TEXT_WORLDS.values():
    for text, _ in world.prompts('held_out')[::50]:
      whole = text + world.answer(text)
      tokens = tokenizer(whole)['input_ids']
      assert len(tokens) == len(whole)
      assert min(tokens) >= len(sort_tokenizer.SPECIAL)
      assert tokenizer.decode(tokens) == whole
  assert tokenizer('3 =')['input_ids'] == [9, 3, 5]
  assert tokenizer('é?é3')['input_ids'] == [2, 2, 2, 9]
  assert tokenizer.decode([0, 0, 9, 1], skip_special_tokens=True) == '3'
  padded = padding_tokenizer(folder, 5, 42)(['3 =', '='])
  np.testing.assert_array_equal(padded, [[0, 0, 9, 3, 5], [0, 0, 0, 0, 5]])


def test_a_conversation_is_its_turns_one_after_the_other(folder):
  tokenizer = load_tokenizer(folder)
  turns = [
    {'role': 'user', 'content': PROMPT},
    {'role': 'assistant', 'content': '3 3 7 9'},
  ]
  asked = tokenizer.apply_chat_template(
    turns[:1], tokenize=False, add_generation_prompt=True
  )
  assert asked == PROMPT
  whole = tokenizer.apply_chat_template(turns, tokenize=False)
  assert whole == PROMPT + '3 3 7 9<eos>'
  assert tokenizer(whole)['input_ids'][-1] == tokenizer.eos_token_id


def test_the_same_tokenizer_is_written_each_time(folder, tmp_path):
  sort_tokenizer.write_tokenizer(tmp_path)
  names = sorted(file.name for file in folder.iterdir())
  assert names == sorted(file.name for file in tmp_path.iterdir())
  assert 'tokenizer.json' in names
  for name in names:
    assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()
