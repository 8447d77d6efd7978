"""A user's functions as rewards: how they take samples, and what goes wrong."""

import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.image_table import make_reward
from adrpo_jax.rewards.text.protocol import TextPrompt
from adrpo_jax.rewards.text_table import make_text_reward
from adrpo_jax.rewards.user_rewards import IMAGE_FORMS, TEXT_FORMS, user_rewards
from adrpo_jax.types import PromptBatch

P, G = 2, 3
PROMPTS = PromptBatch(
  ids=jnp.arange(P), condition=None, facts=None, index=jnp.arange(P)
)
IMAGE_REWARDS = '''
import numpy as np

def redness(texts, images, *, scale=1.0):
  """How red an image is."""
  return scale * images[..., 0].mean((1, 2)) / 255

def length(text, image):
  return len(text)

def picky(text, image):
  if image.mean() > 128:
    raise RuntimeError('too bright')
  return 1.0

def nan_for_bright(text, image):
  return float('nan') if image.mean() > 128 else 1.0

def too_many(texts, images):
  return [1.0] * (len(texts) + 1)

def both(texts, images):
  return {'reward': np.ones(len(texts)), 'tall': np.full(len(texts), 2.0)}

both.measures = ('tall',)
'''
TEXT_REWARDS = """
def brevity(prompts, answers, length=10):
  return [-len(answer) / length for answer in answers]

def same(prompt, answer, reference):
  return float(answer == reference)

def long_prompt(prompt, answer):
  return {'reward': len(prompt), 'digits': answer.isdecimal()}

long_prompt.measures = ('digits',)
"""


@pytest.fixture
def image_file(tmp_path):
  path = tmp_path / 'image_rewards.py'
  path.write_text(IMAGE_REWARDS)
  return path


@pytest.fixture
def text_file(tmp_path):
  path = tmp_path / 'text_rewards.py'
  path.write_text(TEXT_REWARDS)
  return path


def images():
  """[P, G, 4, 4, 3]; the last sample of all is white, the others are dark."""
  pixels = np.full((P, G, 4, 4, 3), 0.2, np.float32)
  pixels[-1, -1] = 1.0
  return jnp.asarray(pixels)


def image_scores(text, limit=0.5):
  ((name, user),) = user_rewards(text, IMAGE_FORMS).items()
  reward = make_reward(
    {name: 1.0},
    ['a', 'two'],
    limit,
    {name: user.parameters},
    rows=IMAGE_FORMS.rows | {name: user.row},
  )
  return reward(PROMPTS, images())


def text_scores(text):
  """Scores the answers 0, 1, … to 'one' and 'more'; references are '1'."""
  ((name, user),) = user_rewards(text, TEXT_FORMS).items()
  reward = make_text_reward(
    {name: 1.0},
    (TextPrompt('one', '1'), TextPrompt('more')),
    lambda tokens: ''.join(map(str, tokens)),
    0.5,
    {name: user.parameters},
    rows=TEXT_FORMS.rows | {name: user.row},
  )
  tokens = jnp.arange(P * G).reshape(P, G, 1)
  ones = jnp.ones((P, G, 1))
  samples = {'tokens': tokens, 'mask': ones, 'log_prob': -ones}
  return reward(PROMPTS, samples | {'ended': jnp.zeros((P, G), bool)})


def test_a_function_of_a_batch_of_images(image_file):
  scores = image_scores(f'{image_file}:redness(scale=2)')
  assert scores.valid.all()
  np.testing.assert_allclose(scores.rewards[0], 0.4, atol=1e-6)
  np.testing.assert_allclose(scores.rewards[1, 2], 2.0)


def test_a_function_of_one_image(image_file):
  scores = image_scores(f'{image_file}:length')
  np.testing.assert_array_equal(scores.rewards, [[1] * G, [3] * G])


def test_measures_stand_beside_the_reward(image_file):
  scores = image_scores(f'{image_file}:both')
  np.testing.assert_array_equal(scores.measures['tall'], np.full((P, G), 2.0))


@pytest.mark.parametrize('name', ['picky', 'nan_for_bright'])
def test_a_failure_costs_its_own_sample_alone(image_file, name):
  scores = image_scores(f'{image_file}:{name}')
  expected = np.ones((P, G), bool)
  expected[-1, -1] = False
  np.testing.assert_array_equal(scores.valid, expected)
  np.testing.assert_array_equal(scores.rewards, expected.astype(float))


def test_a_batch_of_another_length_is_invalid(image_file):
  scores = image_scores(f'{image_file}:too_many', limit=1.0)
  assert not scores.valid.any()


def test_functions_of_answers(text_file):
  scores = text_scores(f'{text_file}:brevity(length=5)')
  np.testing.assert_allclose(scores.rewards, np.full((P, G), -0.2))
  scores = text_scores(f'{text_file}:same')
  np.testing.assert_array_equal(scores.rewards, [[0, 1, 0], [0, 0, 0]])
  scores = text_scores(f'{text_file}:long_prompt')
  np.testing.assert_array_equal(scores.rewards, [[3] * G, [4] * G])
  np.testing.assert_array_equal(scores.measures['digits'], np.ones((P, G)))


def test_weights_and_normalizers_are_arguments(image_file):
  text = f"{image_file}:redness(weight=0.5, normalize='standard', workers=1)"
  user = user_rewards(text, IMAGE_FORMS)['redness']
  assert (user.weight, user.normalize) == (0.5, 'standard')
  assert user.parameters == {'batch_size': 16, 'workers': 1}
  assert (
    user_rewards(f'{image_file}:length', IMAGE_FORMS)['length'].weight == 1.0
  )


@pytest.mark.parametrize(
  ('call', 'said'),
  [
    ('wrong', '(texts, images, ...) or (text, image, ...), got (samples)'),
    ('needs', "missing a required argument: 'scale'"),
    ('redness(scle=2)', "got an unexpected keyword argument 'scle'"),
    ("redness(weight='2')", 'Expected a number as weight'),
    ('shapes', 'that no reward of the package has'),
  ],
)
def test_a_function_that_does_not_fit_is_refused(image_file, call, said):
  extra = (
    'def wrong(samples):\n  pass\n'
    'def needs(texts, images, scale):\n  pass\n'
    'def shapes(texts, images):\n  pass\n'
  )
  image_file.write_text(IMAGE_REWARDS + extra)
  with pytest.raises(InputError) as error:
    user_rewards(f'{image_file}:{call}', IMAGE_FORMS)
  assert said in str(error.value)


def test_a_function_of_texts_is_no_reward_of_images(text_file):
  with pytest.raises(InputError, match=r'got \(prompts, answers, length\)'):
    user_rewards(f'{text_file}:brevity', IMAGE_FORMS)
