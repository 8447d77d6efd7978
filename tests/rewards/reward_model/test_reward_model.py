"""Reward models: rows of tokens, buckets, faults; parity is tested apart."""

import dataclasses
import pathlib
import types

import jax
import made_answers
import numpy as np
import pytest
import tiny_reward_model

from adrpo_jax import sharding
from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.chat_tokenizer import bucket
from adrpo_jax.models.files.tokenizers import load_tokenizer
from adrpo_jax.rewards.host.text_view import text_view
from adrpo_jax.rewards.overlap import draw_and_judge
from adrpo_jax.rewards.protocol import RewardError
from adrpo_jax.rewards.reward_model.chat_tokens import chat, chat_tokens
from adrpo_jax.rewards.reward_model.reward import (
  overlapped_scores,
  reward_model,
)
from adrpo_jax.rewards.reward_model.scorer import (
  check_head,
  check_texts,
  make_scorer,
  right_padded,
)
from adrpo_jax.rewards.text.protocol import TextPrompt
from adrpo_jax.types import PromptBatch
from adrpo_jax.worlds import sort_tokenizer

TOLD = (TextPrompt('a'), TextPrompt('bb'))
TEXTS = [['1', '22', ''], ['333', '4', '55']]
PROMPTS = PromptBatch.of_step(np.array([0, 1]))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('reward_model')
  tiny_reward_model.write(path)
  return path


@pytest.fixture(scope='module')
def samples():
  return made_answers.samples(TEXTS)


def ids(prompt, answer):
  return [len(prompt), *map(int, answer)]


def sums(rows):
  return np.array([sum(row) for row in rows], np.float32)


def make(encode=ids, score=sums, **options):
  view = text_view(made_answers.decode)
  options = {'max_length': 8, 'invalid_limit': 0.0} | options
  return overlapped_scores(encode, score, TOLD, view, **options)


def test_rows_are_scored_in_their_places(samples):
  scores = make()(PROMPTS, samples)
  np.testing.assert_array_equal(scores.rewards, [[2, 5, 1], [11, 6, 12]])
  assert scores.valid.all()


def test_a_step_in_parts_is_scored_as_a_whole(samples):
  calls = []

  def score(rows):
    calls.append(len(rows))
    return sums(rows)

  _, finish = draw_and_judge(
    lambda part: ((), part.condition),
    make(score=score),
    PROMPTS.replace(condition=samples),
    parts=2,
  )
  np.testing.assert_array_equal(finish().rewards, [[2, 5, 1], [11, 6, 12]])
  assert calls == [6]


def test_what_is_too_long_or_cannot_be_read_costs_itself(samples):
  def encode(prompt, answer):
    if answer == '22':
      raise KeyError('no such turn')
    return ids(prompt, answer)

  def score(rows):
    return np.where(sums(rows) == 6, np.nan, sums(rows))

  scores = make(encode, score, max_length=3, invalid_limit=0.5)(
    PROMPTS, samples
  )
  np.testing.assert_array_equal(scores.valid, [[1, 0, 1], [0, 0, 1]])
  np.testing.assert_array_equal(scores.rewards, [[2, 0, 1], [0, 0, 12]])
  with pytest.raises(RewardError, match=r'50\.0%.*KeyError'):
    make(encode, score, max_length=3, invalid_limit=0.4)(PROMPTS, samples)
  none = make(lambda prompt, answer: [], invalid_limit=1.0)(PROMPTS, samples)
  assert not none.valid.any()


def test_rows_go_into_few_buckets():
  lengths = [bucket(n, 1000, 64) for n in (1, 64, 65, 128, 500, 513, 1000)]
  assert lengths == [64, 64, 128, 128, 512, 1000, 1000]
  assert bucket(5, 10, 64) == 10
  tokens, mask = right_padded([np.array([3, 0, 5]), np.array([7])], 3, 4)
  np.testing.assert_array_equal(
    tokens, [[3, 0, 5, 0], [7, 0, 0, 0], [0, 0, 0, 0]]
  )
  np.testing.assert_array_equal(
    mask, [[1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
  )


def test_scores_do_not_depend_on_the_mesh_nor_on_the_batch(folder):
  rng = np.random.default_rng(0)
  rows = [rng.integers(0, 42, n) for n in (3, 70, 1, 9, 70)]
  options = {'max_length': 80, 'dtype': 'float32'}
  one = sharding.make_mesh(1, devices=jax.devices()[:1])
  expected = make_scorer(folder, one, batch_size=8, **options)(rows)
  assert np.ptp(expected) > 0.1
  four = sharding.make_mesh(2, 2, devices=jax.devices()[:4])
  for count in (3, 8):
    found = make_scorer(folder, four, batch_size=count, **options)(rows)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_model_for_shorter_texts_or_fewer_tokens_is_refused(tmp_path):
  tiny_reward_model.write(tmp_path)
  model = decoder_folder.read(tmp_path)
  check_texts(model._replace(longest=80), 80)
  with pytest.raises(InputError, match=r'max_length of at most 80, .* got 81'):
    check_texts(model._replace(longest=80), 81)
  fewer = dataclasses.replace(model.config, vocab_size=41)
  with pytest.raises(InputError, match=r'ids below 41, .* got 41 \(1 such'):
    check_texts(model._replace(config=fewer), 80)


def test_a_conversation_is_by_the_models_template(folder):
  """Writes turns as the sort world does: one by one, then the end token."""
  encode = chat_tokens(folder)
  expected = [*map(sort_tokenizer.VOCABULARY.index, 'a 1'), made_answers.EOS]
  assert encode('a ', '1') == expected
  assert chat_tokens(folder, 'none')('a ', '1') == expected[:-1]


def test_a_token_of_beginning_is_left_to_the_tokenizer():
  tokenizer = types.SimpleNamespace(
    chat_template='of two turns',
    bos_token='<s>',
    apply_chat_template=lambda turns, tokenize: (
      '<s>' + ' '.join(f'{turn["role"]}: {turn["content"]}' for turn in turns)
    ),
  )
  assert chat(tokenizer, pathlib.Path())('a', '<s>b') == (
    'user: a assistant: <s>b'
  )


@pytest.mark.parametrize(
  ('template', 'says'),
  [
    (None, "found none.*template = 'none'"),
    ("{{ raise_exception('users alone') }}", "users alone.*'none'"),
  ],
)
def test_a_template_that_is_missing_or_fails_is_said(
  template, says, folder, monkeypatch
):
  monkeypatch.setattr(load_tokenizer(folder), 'chat_template', template)
  with pytest.raises(InputError, match=says):
    chat_tokens(folder)
  assert chat_tokens(folder, 'none')('a', '') == [
    sort_tokenizer.VOCABULARY.index('a')
  ]


def test_a_folder_without_a_score_head_is_refused(tmp_path):
  tiny_reward_model.write_language_model(tmp_path)
  with pytest.raises(InputError, match=r"'score.weight' \[1, D\].*without a"):
    check_head(tmp_path)


@pytest.mark.parametrize(
  ('options', 'says'),
  [
    ({'template': 'chatt'}, "Did you mean 'chat'"),
    ({'dtype': 'float16'}, "Did you mean 'bfloat16'"),
    ({'max_length': 0}, 'at least 1'),
  ],
)
def test_wrong_parameters_are_refused(options, says, folder):
  with pytest.raises(InputError, match=says):
    reward_model(
      TOLD[:1], 0.1, made_answers.decode, path=str(folder), **options
    )
