"""The wire format: what goes in comes out, and what is damaged is named."""

import base64
import io
import json

import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.remote import image_encodings, wire
from adrpo_jax.rewards.text.protocol import TextPrompt


@pytest.fixture
def images():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (2, 5, 4, 3), np.uint8)


@pytest.mark.parametrize('encoding', ['png', 'npy'])
def test_requests_keep_every_bit(encoding, images):
  body = wire.write_request(('ä', 'b'), images, encoding)
  texts, back = wire.read_request(body)
  assert texts == ('ä', 'b')
  np.testing.assert_array_equal(back, images)
  assert back.dtype == np.uint8
  assert json.loads(body)['version'] == 2


def test_requests_of_texts_keep_every_character():
  prompts = (TextPrompt('ä "b"', '4'), TextPrompt('', None))
  answers = ('\n\x00🙂', '')
  body = wire.write_text_request(prompts, answers)
  assert wire.read_request(body) == (prompts, answers)
  record = json.loads(body)
  assert record == {
    'version': 2,
    'prompts': ['ä "b"', ''],
    'references': ['4', None],
    'answers': ['\n\x00🙂', ''],
  }
  del record['references']
  told, _ = wire.read_request(json.dumps(record).encode())
  assert [prompt.reference for prompt in told] == [None, None]


def test_options_go_with_the_questions_that_have_them():
  prompts = (TextPrompt('?', 'é', ('é', 'b')), TextPrompt('open', '4'))
  body = wire.write_text_request(prompts, ('é', ''))
  assert json.loads(body)['choices'] == [['é', 'b'], []]
  assert wire.read_request(body) == (prompts, ('é', ''))


@pytest.mark.parametrize(
  ('change', 'reason'),
  [
    ({'answers': ['a']}, '2 prompts and 1 answers'),
    ({'answers': ['a', None]}, "strings in 'answers'"),
    ({'references': ['a']}, "'references', a list of 2"),
    ({'references': [1, 2]}, "null in 'references'"),
    ({'choices': [[]]}, "'choices', a list of 2"),
    ({'choices': ['ab', []]}, "lists of strings in 'choices'"),
    ({'choices': [['a', 1], []]}, "lists of strings in 'choices'"),
    ({'samples': ['a', 'b']}, 'got both'),
  ],
)
def test_bad_requests_of_texts_are_named(change, reason):
  prompts = (TextPrompt('a'), TextPrompt('b'))
  record = json.loads(wire.write_text_request(prompts, ('c', 'd'))) | change
  with pytest.raises(wire.WireError, match=reason):
    wire.read_request(json.dumps(record).encode())


def test_answers_keep_numbers_and_say_null():
  body = wire.write_answer(np.array([0.1, np.nan, -np.inf, 3]))
  assert json.loads(body)['rewards'] == [0.1, None, None, 3]
  np.testing.assert_array_equal(
    wire.read_answer(body, 4), [0.1, np.nan, np.nan, 3]
  )


def test_pickled_objects_are_not_read(images):
  file = io.BytesIO()
  np.save(file, np.array([{}], object), allow_pickle=True)
  record = json.loads(wire.write_request(('a', 'b'), images, 'npy'))
  record['samples'][1] = base64.b64encode(file.getvalue()).decode()
  with pytest.raises(wire.WireError, match=r'sample 1.*uint8.*object'):
    wire.read_request(json.dumps(record).encode())


@pytest.mark.parametrize(
  ('change', 'reason'),
  [
    ({'version': 1}, 'version'),
    ({'prompts': ['a']}, '1 prompts and 2 samples'),
    ({'prompts': [1, 2]}, 'strings'),
    ({'samples': []}, 'not empty'),
    ({'samples': ['%', '%']}, 'sample 0 cannot be read'),
    ({'encoding': 'pickle'}, "got 'pickle'"),
    ({'encoding': ['png']}, 'got'),
  ],
)
def test_bad_requests_are_named(change, reason, images):
  record = json.loads(wire.write_request(('a', 'b'), images, 'png')) | change
  with pytest.raises(wire.WireError, match=reason):
    wire.read_request(json.dumps(record).encode())


def test_unknown_encodings_are_refused():
  with pytest.raises(InputError, match="Did you mean 'png'"):
    image_encodings.named_encoding('pngg')
