"""Texts of answers, and host rewards that are asked about them."""

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import made_answers
import numpy as np
import pytest

from adrpo_jax.models.files.tokenizers import text_decoder
from adrpo_jax.rewards.host.host_reward import HostReward
from adrpo_jax.rewards.host.text_view import text_view
from adrpo_jax.rewards.protocol import RewardError
from adrpo_jax.rewards.text.protocol import TextPrompt
from adrpo_jax.types import PromptBatch
from adrpo_jax.worlds import sort_tokenizer

TOLD = tuple(TextPrompt(f'prompt {i}', known) for i, known in enumerate('ab'))
TEXTS = [['12', '', '3 4'], ['123456', '1234567', 'abc']]
PROMPTS = PromptBatch.of_step(np.array([1, 0]))


@pytest.fixture(scope='module')
def samples():
  """P=2, G=3, T=6: '123456' has no room for its end, '1234567' is cut."""
  return made_answers.samples(TEXTS, longest=6)


def lengths(prompts, answers):
  return [len(answer) for answer in answers]


def make(function, **options):
  view = text_view(made_answers.decode)
  return HostReward(function, TOLD, name='mine', view=view, **options)


def shown(samples, decode=made_answers.decode):
  return [
    [text_view(decode).pieces(samples)[p, g].content() for g in range(3)]
    for p in range(2)
  ]


def test_a_text_is_of_the_answers_tokens_without_its_end(samples):
  expected = [TEXTS[0], ['123456', '123456', 'abc']]
  assert shown(samples) == expected
  # The token that ended it is left out whatever it is: stops may be plain.
  assert shown(samples | {'ended': jnp.ones((2, 3), bool)})[1][0] == '12345'


def test_a_folders_tokenizer_leaves_out_special_tokens_and_cleans_nothing(
  samples, tmp_path
):
  sort_tokenizer.write_tokenizer(tmp_path)
  decode = text_decoder(tmp_path)
  assert shown(samples, decode) == shown(samples)
  ids = map(sort_tokenizer.VOCABULARY.index, ['<pad>', 'a', ' ', '=', '<eos>'])
  assert decode(list(ids)) == 'a ='


@pytest.mark.parametrize('batch_size', [1, 4, 100])
def test_answers_come_with_what_is_known_of_their_prompts(batch_size, samples):
  seen = []

  def function(prompts, answers):
    assert isinstance(answers, tuple)
    seen.extend(zip(prompts, answers, strict=True))
    return lengths(prompts, answers)

  scores = make(function, batch_size=batch_size)(PROMPTS, samples)
  np.testing.assert_array_equal(scores.rewards, [[2, 0, 3], [6, 6, 3]])
  assert scores.valid.all()  # The empty answer is judged too.
  assert sorted(seen) == sorted(
    [(TOLD[1], text) for text in TEXTS[0]]
    + [(TOLD[0], text) for text in ('123456', '123456', 'abc')]
  )


def test_answers_of_a_broken_model_are_not_shown(samples):
  told = []

  def function(prompts, answers):
    told.extend(answers)
    return lengths(prompts, answers)

  log_prob = samples['log_prob'].at[0, 2, 1].set(jnp.nan)
  reward = make(function, invalid_limit=0.2)
  scores = reward(PROMPTS, samples | {'log_prob': log_prob})
  np.testing.assert_array_equal(scores.valid, [[1, 1, 0], [1, 1, 1]])
  assert '3 4' not in told
  assert reward.last_failure == '1 answers had log-probabilities not finite.'


def test_sharded_answers_are_judged_once_each(samples):
  mesh = jax.make_mesh(
    (2, 2),
    ('data', 'tensor'),
    devices=jax.devices()[:4],
    axis_types=(jax.sharding.AxisType.Auto,) * 2,
  )
  placed = jax.device_put(samples, NamedSharding(mesh, PartitionSpec('data')))
  judged = []

  def function(prompts, answers):
    judged.extend(answers)
    return lengths(prompts, answers)

  scores = make(function)(PROMPTS, placed)
  np.testing.assert_array_equal(scores.rewards, [[2, 0, 3], [6, 6, 3]])
  assert len(judged) == 6


def measured(prompts, answers):
  """The empty answer has no measure."""
  found = np.array(lengths(prompts, answers), float)
  return {'even': np.where(found, found % 2 == 0, np.nan), 'reward': found}


def test_measures_come_by_their_names(samples):
  reward = make(measured, measures=('even',), invalid_limit=0.2)
  scores = reward(PROMPTS, samples)
  np.testing.assert_array_equal(scores.valid, [[1, 0, 1], [1, 1, 1]])
  np.testing.assert_array_equal(scores.rewards, [[2, 0, 3], [6, 6, 3]])
  assert set(scores.measures) == {'even'}
  np.testing.assert_array_equal(scores.measures['even'], [[1, 0, 0], [1, 1, 0]])
  assert reward.last_failure == "It returned nan as 'even'."


@pytest.mark.parametrize(
  ('function', 'measures', 'reason'),
  [
    (lengths, ('even',), r"\['reward', 'even'\].*got \['reward'\]"),
    (measured, (), r"\['reward'\].*got \['even', 'reward'\]"),
    (lambda p, a: {'reward': [0] * len(a), 'x': 1}, ('x',), r'x of shape \(1,'),
    (lambda p, a: {'x': [0] * len(a)}, ('x',), r"got \['x'\]"),
  ],
)
def test_other_measures_than_were_said_cost_their_batch(
  function, measures, reason, samples
):
  with pytest.raises(RewardError, match=reason):
    make(function, measures=measures, batch_size=1)(PROMPTS, samples)
