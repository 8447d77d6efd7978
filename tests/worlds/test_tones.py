"""The tones world: clips, questions with exact answers, judge, tokenizer."""

import collections
import math

import made_strings
import numpy as np
import pytest

from adrpo_jax.models.files.tokenizers import load_tokenizer
from adrpo_jax.worlds import AUDIO_WORLDS
from adrpo_jax.worlds.tones import (
  clips,
  events,
  examples,
  items,
  judge,
  questions,
  tokenizer,
)

TEXT = 'How often is beep heard? 1, 0, 2, 4'
RIGHT = '<think> beep buzz beep </think> <answer> 2 </answer>'
PIECES = ('<think>', '</think>', '<answer>', '</answer>', ' beep', ' 2', '\n')
splits = pytest.mark.parametrize('split', ['train', 'held_out'])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  made = tmp_path_factory.mktemp('made') / 'tokenizer'
  tokenizer.write_tokenizer(made)
  return made


@pytest.mark.parametrize(
  ('reply', 'facts'),
  [
    (RIGHT, (1, 1, 1, 1)),
    (RIGHT.replace(' ', '', 1), (1, 1, 1, 1)),
    (RIGHT + ' so', (1, 0, 1, 1)),
    (RIGHT.replace('2', '1'), (0, 1, 1, 0)),
    (RIGHT.replace('buzz', 'beep'), (1, 1, 2 / 3, 0)),
    (RIGHT.replace('buzz', 'beep').replace('2', '3'), (0, 1, 2 / 3, 1)),
    (RIGHT.replace('beep buzz', 'beep'), (1, 1, 1 / 3, 1)),
    (RIGHT.replace('beep buzz', 'buzz'), (1, 1, 0, 0)),
    (RIGHT.replace('buzz', 'buzz beep'), (1, 1, 3 / 4, 0)),
    (RIGHT.replace('buzz', 'a'), (1, 1, 2 / 3, 0)),
    ('<answer> 2 </answer>', (1, 0, 0, 0)),
    ('<think> </think> <answer> 2 </answer>', (1, 1, 0, 0)),
    ('<think> beep </think> 2', (0, 0, 1 / 3, 0)),
    ('2', (0, 0, 0, 0)),
    ('', (0, 0, 0, 0)),
  ],
)
def test_what_holds_of_a_reply(reply, facts):
  said = judge.judge(TEXT, reply, RIGHT)
  assert tuple(said[name] for name in judge.FACTS) == pytest.approx(facts)
  assert said['reward'] == pytest.approx((2 * facts[0] + facts[1]) / 3)


@pytest.mark.parametrize(
  ('text', 'kinds', 'answer'),
  [
    ('How often is beep heard?', 'beep buzz beep', '2'),
    ('How often is thud heard?', 'beep buzz beep', '0'),
    ('Which sound is last?', 'beep buzz hiss', 'hiss'),
    ('Which sound is most frequent?', 'buzz beep buzz', 'buzz'),
    ('Which sound is most frequent?', 'buzz beep', None),
    ('Which sound is most frequent?', 'buzz buzz', 'buzz'),
    ('How many notes are there?', 'C C D', '3'),
    ('How does the melody move?', 'C E G', 'rising'),
    ('How does the melody move?', 'G D C', 'falling'),
    ('How does the melody move?', 'G G G', 'level'),
    ('How does the melody move?', 'C C D', 'mixed'),
    ('How does the melody move?', 'C D C', 'mixed'),
    ('Which note is highest?', 'D A G', 'A'),
    ('Which vowel is second?', 'a e i', 'e'),
    ('Which vowel is second?', 'a', None),
    ('Are all vowels the same?', 'u u u', 'yes'),
    ('Are all vowels the same?', 'u u o', 'no'),
  ],
)
def test_answers_count_and_compare(text, kinds, answer):
  _, question = questions.BY_TEXT[text]
  assert question.answer(kinds.split()) == answer


@splits
def test_items_keep_their_contract(split):
  listed = items.items(split)
  assert len(listed) == 12 * items.SPLITS[split]
  per = collections.Counter(item.category for item in listed)
  assert set(per.values()) == {4 * items.SPLITS[split]}
  for item in listed:
    said = judge.judge(item.text, item.answer, item.answer)
    assert set(said.values()) == {1}
    assert questions.read(item.text)[2] == item.choices
    clip = clips.from_address(item.audio)
    assert clip.kinds == judge.stated(item.answer).kinds
    assert clips.address(clip) == item.audio
  with pytest.raises(ValueError, match="Expected split 'train' or"):
    items.items('test')


def test_no_structure_of_one_split_is_heard_in_the_other():
  counts = {'sound': 1548, 'music': 775, 'speech': 775}
  for category, count in counts.items():
    train, held_out = (
      set(items.structures(category, split)) for split in items.SPLITS
    )
    assert not train & held_out
    assert len(train) + len(held_out) == count
    assert 0.15 < len(held_out) / count < 0.25
  for split in items.SPLITS:
    for item in items.items(split):
      clip = clips.from_address(item.audio)
      assert clip.kinds in items.structures(clip.category, split)


def test_every_answer_occurs_in_both_splits():
  number = {
    form.text: (category, i)
    for category, listed in questions.QUESTIONS.items()
    for i, forms in enumerate(listed)
    for form in forms
  }
  for split in items.SPLITS:
    answers = {
      (*number[questions.read(i.text)[1].text], judge.stated(i.answer).option)
      for i in items.items(split)
    }
    assert len(answers) == (5 + 6 * 3) + (3 + 4 + 5 * 2) + (5 * 3 + 2)


@splits
def test_the_first_option_is_right_as_often_as_chance(split):
  listed = items.items(split)
  first = [judge.stated(i.answer).option == i.choices[0] for i in listed]
  chance = np.mean([1 / len(item.choices) for item in listed])
  error = math.sqrt(chance * (1 - chance) / len(listed))
  assert np.mean(first) == pytest.approx(chance, abs=3 * error)


def test_a_clip_is_a_function_of_its_kinds_and_its_seed():
  clip = clips.Clip('sound', ('beep', 'hiss'), 3)
  wave = clips.wave(clip)
  assert (wave.dtype, wave.shape) == (np.float32, (38400,))
  assert 0.2 < np.abs(wave).max() <= 1
  np.testing.assert_array_equal(wave, clips.wave(clip))
  assert np.abs(wave - clips.wave(clip._replace(seed=4))).max() > 0.1
  other = clips.wave(clip._replace(kinds=('hiss', 'beep')))
  assert np.abs(wave - other).max() > 0.1


def test_as_many_events_are_heard_as_there_are_kinds():
  """Counts the runs of 5 ms whose level is above the background."""
  for count in (2, 3, 4):
    for seed in range(5):
      wave = clips.wave(clips.Clip('sound', ('hiss',) * count, seed))
      loud = np.abs(wave).reshape(-1, 80).max(1) > 0.05
      assert np.sum(loud[1:] & ~loud[:-1]) == count
      assert not loud[[0, -1]].any()


@pytest.mark.parametrize('world', AUDIO_WORLDS.values(), ids=AUDIO_WORLDS)
def test_a_world_of_clips_keeps_its_contract(world):
  assert not {i.audio for i in world.items('train')} & {
    i.audio for i in world.items('held_out')
  }
  for item, completion in world.examples(8, 0):
    assert world.wave(item.audio).ndim == 1
    assert 0 <= world.judge(item.text, completion, item.answer)['reward'] <= 1
    assert world.judge(item.text, item.answer, item.answer)['success'] == 1
  assert all(
    completion == item.answer for item, completion in world.solved(8, 0)
  )


@pytest.mark.parametrize(
  ('category', 'kind', 'low', 'high'),
  [
    ('sound', 'beep', 850, 1150),
    ('sound', 'thud', 60, 100),
    ('music', 'C', 523, 1047),
    ('music', 'A', 880, 1760),
    ('speech', 'i', 180, 420),
  ],
)
def test_an_event_has_its_pitch(category, kind, low, high):
  """The loudest frequency lies where the kind puts it, to a bin of 10 Hz."""
  voice = events.Voice(1.0, 5, 150.0, np.zeros(4000))
  t = np.arange(1600) / events.RATE
  wave = events.EVENTS[category][kind](t, voice)
  loudest = 10 * np.argmax(np.abs(np.fft.rfft(wave)))
  assert low - 10 <= loudest <= high + 10


@pytest.mark.parametrize(
  'text',
  [
    *('', 'tones:', 'tones:sound:beep,buzz', 'tones:sound:beep:1'),
    *('tones:music:beep,buzz:1', 'sound:beep,buzz:1', 'tones:sound:a,b:-1'),
  ],
)
def test_what_is_no_address_is_said_to_be_none(text):
  with pytest.raises(ValueError, match='Expected the address of a clip'):
    clips.from_address(text)


@pytest.mark.parametrize(
  'text',
  [
    *('', 'Which sound is first?', 'Which sound is first? beep'),
    *('Which sound is first? beep, beep', 'Which sound is first? beep, a'),
    'Which is first? beep, buzz',
  ],
)
def test_what_is_no_prompt_is_said_to_be_none(text):
  with pytest.raises(ValueError, match='Expected a question of the tones'):
    judge.judge(text, RIGHT, RIGHT)


@pytest.mark.parametrize('answer', ['', '2', RIGHT.replace('2', '3')])
def test_an_answer_that_answers_another_prompt_is_refused(answer):
  with pytest.raises(ValueError, match='Expected the right completion'):
    judge.judge(TEXT, RIGHT, answer)


def test_any_string_is_judged():
  for reply in made_strings.strings(PIECES, 2000):
    said = judge.judge(TEXT, reply, RIGHT)
    assert all(0 <= value <= 1 for value in said.values())


def test_examples_have_the_shares_that_they_state():
  """Within four standard errors of 3,000 draws."""
  made = examples.examples(3000, 1)
  assert made[:20] == examples.examples(20, 1)
  assert made[:20] != examples.examples(20, 2)
  said = [judge.judge(i.text, reply, i.answer) for i, reply in made]
  success, in_format, consistent = (
    np.mean([facts[name] for facts in said])
    for name in ('success', 'format', 'consistent')
  )
  assert success == pytest.approx(1 - examples.WRONG_SHARE, abs=0.036)
  assert in_format == pytest.approx(1 - examples.PLAIN_SHARE, abs=0.016)
  wrong = [facts for facts in said if not facts['success']]
  assert 0.15 < np.mean([facts['consistent'] for facts in wrong]) < 0.5
  assert success * 0.9 < consistent < 1 - 0.15
  for item, _ in made[:200]:
    clip = clips.from_address(item.audio)
    assert clip.kinds in items.structures(clip.category, 'train')


def test_every_word_is_one_token(folder):
  loaded = load_tokenizer(folder)
  assert loaded.pad_token == tokenizer.PAD
  assert loaded.eos_token == tokenizer.END
  assert loaded.convert_tokens_to_ids(list(tokenizer.SPECIAL)) == list(
    range(10)
  )
  for item in items.items('held_out')[::7]:
    ids = loaded(item.answer)['input_ids']
    assert len(ids) == len(item.answer.split()) <= 9
    assert loaded.decode(ids) == item.answer
    ids = loaded(item.text)['input_ids']
    assert len(ids) == len(item.text.split()) + len(item.choices)
    assert len(ids) <= 14
    assert loaded.decode(ids) == item.text
  other = 'é <x> beeps?'
  assert loaded.decode(loaded(other)['input_ids']) == other


def test_a_prompt_has_one_marker_between_the_ends_of_a_clip(folder):
  loaded = load_tokenizer(folder)
  content = [{'type': 'audio'}, {'type': 'text', 'text': TEXT}]
  turns = [{'role': 'user', 'content': content}]
  said = loaded.apply_chat_template(
    turns, tokenize=False, add_generation_prompt=True
  )
  assert said == f'<|audio_bos|><|AUDIO|><|audio_eos|>{TEXT}<|im_end|>'
  plain = [
    {'role': 'user', 'content': 'a'},
    {'role': 'assistant', 'content': 'b'},
  ]
  assert loaded.apply_chat_template(plain, tokenize=False) == (
    'a<|im_end|>b<|im_end|>'
  )
