"""The contract of every reward in the table, and what single rows promise."""

import contextlib
import importlib.util
import inspect
import io
import threading

import jax
import jax.numpy as jnp
import made_answers
import numpy as np
from PIL import Image
import pytest
import tiny_clip
import tiny_reward_model

from adrpo_jax.data import prompts as prompt_sources
from adrpo_jax.errors import InputError
from adrpo_jax.rewards import jpeg
from adrpo_jax.rewards.image_table import REWARDS, host_row, make_reward
from adrpo_jax.rewards.protocol import RewardError
from adrpo_jax.rewards.remote.http_server import RewardServer
from adrpo_jax.rewards.text.match import exact_match
from adrpo_jax.rewards.text.protocol import in_batches, text_prompts
from adrpo_jax.rewards.text_table import TEXT_REWARDS
from adrpo_jax.types import PromptBatch
from adrpo_jax.worlds import (
  AUDIO_WORLDS,
  shapes,
  shapes_diversity,
  shapes_prompts,
)

# Of rewards of text that need one, which an extra brings.
LIBRARIES = {'math_match': 'math_verify', 'reasoning_gym': 'reasoning_gym'}
ASKED = '{"constraints": [{"kind": "words", "exactly": 2}]}'
OPTIONS = ('9', '7', '12', '8')
TEXTS = ('a red circle', 'two blue squares', 'a green cross above a red circle')


@pytest.fixture(scope='module')
def truth():
  """Two rendered scenes for each prompt, P=3, G=2, in a row and in a column."""
  objects = (
    [('circle', 'red')],
    [('square', 'blue'), ('square', 'blue')],
    [('cross', 'green'), ('circle', 'red')],
  )
  places = (((2, 2), (18, 2)), ((0, 5), (15, 20)))  # (top, left) of each object
  scenes = [scene(of, at) for of in objects for at in places]
  stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *scenes)
  images = jax.jit(jax.vmap(shapes.render))(stacked)
  prompts = PromptBatch.of_step(np.arange(3), facts=shapes_prompts.facts(TEXTS))
  return prompts, images.reshape(3, 2, *images.shape[1:])


def scene(objects, places):
  """Large, filled objects at given places; the other slots are not there."""
  spare = shapes.SLOTS - len(objects)
  rows = [
    (True, shapes.SHAPES.index(s), shapes.COLORS.index(c), 2, 0, top, left)
    for (s, c), (top, left) in zip(objects, places, strict=False)
  ] + [(False, 0, 0, 0, 0, 0, 0)] * spare
  return shapes.Scene(*(np.array(leaf) for leaf in zip(*rows, strict=True)))


@pytest.fixture(scope='module')
def needed(tmp_path_factory):
  """Name -> the parameters that a row of the table of images needs."""
  folder = tmp_path_factory.mktemp('clip')
  clip = {'path': tiny_clip.write(folder)}
  rows = dict.fromkeys(['clip_score', 'pick_score', 'hps_v2'], clip)
  rows['aesthetic'] = clip | {'head': tiny_clip.write_head(folder / 'head')}
  with served(RewardServer(jpeg.compressibility(), 'jpeg')) as server:
    yield rows | {'remote': {'url': server.url}}


@pytest.fixture(scope='module')
def needed_of_text(tmp_path_factory):
  """Name -> the parameters that a row of the table of texts needs."""
  match = in_batches(exact_match())
  folder = tmp_path_factory.mktemp('reward_model')
  with served(RewardServer(None, 'match', of_texts=match)) as server:
    yield {
      'regex_format': {'pattern': '[0-9 ]*'},
      'soft_overlong': {'limit': 6, 'margin': 4},
      'remote': {'url': server.url},
      'reward_model': {'path': tiny_reward_model.write(folder)},
    }


@contextlib.contextmanager
def served(server):
  with server:
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    yield server
    server.shutdown()


@pytest.fixture(params=REWARDS)
def of_images(request, truth, needed):
  """A reward of the table, and what it judges."""
  row = REWARDS[request.param].make
  return row(TEXTS, 0.1, **needed.get(request.param, {})), *truth


@pytest.fixture(params=TEXT_REWARDS)
def of_text(request, needed_of_text):
  """The rows of the table of texts, on prompts of both worlds."""
  name = request.param
  library = LIBRARIES.get(name)
  if library and importlib.util.find_spec(library) is None:
    pytest.skip(f'needs {library}, which is of an extra')
  answers = [['1 2', ''], ['pass', '9'], ['0 7', '7 0 0 0']]
  world = 'sort or pass' if name == 'sort_or_pass' else 'sort'
  asked = [f'{world}: {digits} =' for digits in ('2 1', '9', '7 0')]
  known, decode = ['12', '9', '7'], made_answers.decode
  if name == 'reasoning_gym':
    made = prompt_sources.load('reasoning_gym:countdown:3')
    asked, known = made.texts, made.answers
    decode = in_tags
  if name == 'instructions':
    known = [ASKED] * 3
  if name == 'choice_match':
    decode = in_tags
  if name == 'tones':
    items = AUDIO_WORLDS['tones'].items('train')[:3]
    asked = [item.text for item in items]
    known = [item.answer for item in items]
    decode = after_a_thought
  reward = TEXT_REWARDS[name].make(
    text_prompts(asked, known, [OPTIONS] * 3),
    0.1,
    decode,
    **needed_of_text.get(name, {}),
  )
  return (
    reward,
    PromptBatch.of_step(np.arange(3)),
    made_answers.samples(answers),
  )


def in_tags(ids):
  """What the tokens say, as an answer that reasoning-gym finds."""
  return f'<answer>{made_answers.decode(ids)}</answer>'


def after_a_thought(ids):
  """The same behind a thought, in the format of the world of clips."""
  return f'<think> hiss </think> {in_tags(ids)}'


def test_contract(of_images):
  check_contract(*of_images)


def test_contract_of_text(of_text):
  check_contract(*of_text)


def check_contract(reward, prompts, seen):
  """Checks the scores of a reward that can judge all of P=3, G=2."""
  scores = reward(prompts, seen)
  for array in (scores.rewards, scores.valid, *scores.measures.values()):
    assert array.shape == (3, 2)
    assert np.isfinite(array).all()
  assert scores.valid.dtype == bool
  assert scores.rewards.dtype == jnp.float32
  assert scores.valid.all()
  again = reward(prompts, seen)
  np.testing.assert_array_equal(scores.rewards, again.rewards)
  assert np.ptp(scores.rewards) > 0 or scores.rewards.min() == 1
  # A sample's score does not depend on the samples beside it.
  order = np.array([2, 0, 1])
  moved = reward(
    jax.tree.map(lambda x: x[order], prompts),
    jax.tree.map(lambda x: x[order][:, ::-1], seen),
  )
  np.testing.assert_allclose(
    moved.rewards, scores.rewards[order][:, ::-1], atol=1e-6
  )


def test_shapes_reward_between_facts_and_success(truth):
  """(1 − w)·facts + w·success, by hand from its own measures."""
  prompts, images = truth
  wrong = jax.tree.map(lambda leaf: leaf[::-1], prompts)
  plain = REWARDS['shapes'].make(TEXTS, 0.1)(wrong, images)
  mixed = REWARDS['shapes'].make(TEXTS, 0.1, success_weight=0.25)(wrong, images)
  facts, success = plain.measures['facts'], plain.measures['success']
  np.testing.assert_array_equal(plain.rewards, facts)
  np.testing.assert_allclose(
    mixed.rewards, 0.75 * facts + 0.25 * success, rtol=1e-6
  )
  assert 0 < facts.min() < 1
  assert set(np.unique(success)) == {0.0, 1.0}


def test_shapes_reward_of_an_unusual_sample(truth):
  """Of three right samples, two the same, the third is worth more.

  With distances 0 and d the spreads are d/2, d/2 and d: s·(−d/6, −d/6, d/3).
  """
  prompts, images = truth
  images = images[:, [0, 0, 1]]
  plain = REWARDS['shapes'].make(TEXTS, 0.1)(prompts, images)
  assert plain.measures['success'].all()
  unusual = REWARDS['shapes'].make(TEXTS, 0.1, spread_weight=0.5)
  scores = unusual(prompts, images)
  pairs, _ = shapes_diversity.spread(images[:, 1:], prompts.facts)
  expected = pairs[:, None] * np.array([[-1, -1, 2]]) / 6
  np.testing.assert_allclose(
    scores.rewards, plain.rewards + 0.5 * expected, atol=1e-6
  )
  np.testing.assert_allclose(
    scores.measures['spread'],
    pairs[:, None] * np.array([[0.5, 0.5, 1]]),
    rtol=1e-5,
  )


def test_shapes_reward_of_an_unusual_sample_that_is_wrong(truth):
  """It gets no more than without the weight; an empty image is no neighbor."""
  prompts, images = truth
  images = images.at[0, 1].set(shapes.BACKGROUND)
  wrong = jnp.concatenate([images[:1], images[2:], images[1:2]])
  plain = REWARDS['shapes'].make(TEXTS, 0.1)(prompts, wrong)
  assert plain.measures['success'][0].tolist() == [1, 0]
  assert not plain.measures['success'][1:].any()
  scores = REWARDS['shapes'].make(TEXTS, 0.1, spread_weight=0.5)(prompts, wrong)
  np.testing.assert_array_equal(scores.rewards, plain.rewards)
  np.testing.assert_array_equal(scores.measures['spread'][0], 0)


def test_shapes_reward_of_truth_and_of_the_wrong_prompt(truth):
  prompts, images = truth
  reward = REWARDS['shapes'].make(TEXTS, 0.1)
  scores = reward(prompts, images)
  np.testing.assert_array_equal(scores.rewards, 1.0)
  np.testing.assert_array_equal(scores.measures['success'], 1.0)
  wrong = jax.tree.map(lambda leaf: leaf[::-1], prompts)
  swapped = reward(wrong, images)
  np.testing.assert_array_equal(swapped.rewards[1], 1.0)  # its own prompt
  assert (swapped.rewards[::2] < 1).all()
  assert (swapped.measures['success'][::2] == 0).all()


def test_jpeg_is_minus_kilobytes():
  flat = np.full((32, 32, 3), 128, np.uint8)
  noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
  rewards = jpeg.compressibility(95)(['', ''], np.stack([flat, noise]))
  sizes = []
  for image in (flat, noise):
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'JPEG', quality=95)
    sizes.append(len(file.getvalue()))
  np.testing.assert_allclose(rewards, -np.array(sizes) / 1000, rtol=1e-6)
  assert rewards[1] < 2 * rewards[0] < 0
  coarse = jpeg.compressibility(10)([''], noise[None])
  assert coarse[0] > rewards[1]
  with pytest.raises(InputError, match='1 to 95, got 0'):
    jpeg.compressibility(0)


def test_make_reward_adds_rows_up(truth):
  prompts, images = truth
  parts = [
    REWARDS[n].make(TEXTS, 0.1)(prompts, images)
    for n in ('shapes', 'jpeg_compressibility')
  ]
  both = make_reward(
    {'shapes': 1.0, 'jpeg_compressibility': 0.5},
    TEXTS,
    parameters={'jpeg_compressibility': {'batch_size': 4, 'workers': 1}},
  )(prompts, images)
  np.testing.assert_allclose(
    both.rewards, parts[0].rewards + 0.5 * parts[1].rewards, atol=1e-6
  )
  np.testing.assert_array_equal(
    both.measures['success'], parts[0].measures['success']
  )


def test_make_reward_names_the_nearest():
  with pytest.raises(InputError, match="Did you mean 'shapes'"):
    make_reward({'shaps': 1.0}, TEXTS)


def test_incompressibility_is_the_negative(truth):
  prompts, images = truth
  small, large = (
    REWARDS[f'jpeg_{kind}'].make(TEXTS, 0.1, quality=50)(prompts, images)
    for kind in ('compressibility', 'incompressibility')
  )
  np.testing.assert_array_equal(large.rewards, -small.rewards)
  assert (large.rewards > 0).all()


def test_a_remote_row_says_what_its_server_says(truth, needed):
  prompts, images = truth
  far = REWARDS['remote'].make(TEXTS, 0.0, batch_size=4, **needed['remote'])
  near = REWARDS['jpeg_compressibility'].make(TEXTS, 0.0)
  np.testing.assert_array_equal(
    far(prompts, images).rewards, near(prompts, images).rewards
  )


def test_every_row_is_described():
  for row in (*REWARDS.values(), *TEXT_REWARDS.values()):
    assert len(row.description) > 20
  assert (
    REWARDS['remote'].description
    == 'The score of a reward server at `url`, over HTTP.'
  )


@pytest.mark.parametrize(
  ('table', 'inputs'),
  [
    (REWARDS, (TEXTS, 0.1)),
    (TEXT_REWARDS, ((), 0.1, made_answers.decode)),
  ],
)
def test_every_parameter_of_a_row_is_listed_with_a_value(table, inputs):
  for row in table.values():
    options = {'batch_size', 'workers'} if row.host else set()
    assert options <= set(row.parameters)
    if row.host:
      own = {k: v for k, v in row.parameters.items() if k not in options}
      bound = inspect.signature(row.host).bind(**own)
    else:
      bound = inspect.signature(row.make).bind(*inputs, **row.parameters)
    assert set(bound.arguments) == set(bound.signature.parameters)


def test_parameters_that_a_row_does_not_take_are_named():
  with pytest.raises(InputError, match=r"'jpeg_compressibility'.*\['qualty'\]"):
    REWARDS['jpeg_compressibility'].make(TEXTS, 0.1, qualty=3)
  with pytest.raises(InputError, match=r"'remote'.*'url'"):
    REWARDS['remote'].make(TEXTS, 0.1)
  with pytest.raises(InputError, match=r"'pick_score'.*'path'"):
    make_reward({'pick_score': 1.0}, TEXTS)


@pytest.mark.parametrize('option', ['batch_size', 'workers'])
def test_a_row_passes_on_the_options_of_host_rewards(option):
  with pytest.raises(InputError, match='batch_size ≥ 1, workers ≥ 1'):
    REWARDS['jpeg_compressibility'].make(TEXTS, 0.1, **{option: 0})


def test_an_unknown_name_is_answered_with_what_is_known():
  with pytest.raises(InputError) as caught:
    make_reward({'shapes': 1.0}, TEXTS, monitor_only=('jpeg_compresibility',))
  said = str(caught.value).splitlines()
  assert said[0] == (
    "Unknown reward 'jpeg_compresibility'. Did you mean "
    "'jpeg_compressibility'? Known:"
  )
  assert said[1:] == [f'  {k}: {row.description}' for k, row in REWARDS.items()]


def test_make_reward_normalizes_by_name_or_with_parameters(truth):
  prompts, images = truth
  sizes = (
    REWARDS['jpeg_compressibility'].make(TEXTS, 0.1)(prompts, images).rewards
  )
  for normalize, expected in (
    ('standard', (sizes - sizes.mean()) / (sizes.std() + 1e-4)),
    ({'name': 'fixed', 'offset': -1, 'scale': 0.5}, (sizes + 1) / 0.5),
  ):
    found = make_reward(
      {'jpeg_compressibility': 2.0},
      TEXTS,
      normalize={'jpeg_compressibility': normalize},
    )(prompts, images)
    np.testing.assert_allclose(found.rewards, 2 * expected, rtol=1e-5)


@pytest.mark.parametrize(
  ('named', 'message'),
  [
    ('standrad', "normalizer of a reward 'standrad'. Did you mean 'standard'"),
    ({'scale': 2.0}, 'Known: fixed, group, raw, standard'),
    ({'name': 'fixed', 'sacle': 2.0}, 'sacle'),
  ],
)
def test_normalizers_that_do_not_exist_are_refused(named, message):
  with pytest.raises(InputError, match=message):
    make_reward({'shapes': 1.0}, TEXTS, normalize={'shapes': named})


def test_a_row_can_be_taken_twice_under_other_names(truth):
  prompts, images = truth
  row = {'row': 'jpeg_compressibility'}
  scores = make_reward(
    {'fine': 1.0, 'coarse': -1.0},
    TEXTS,
    parameters={'fine': row | {'quality': 95}, 'coarse': row | {'quality': 10}},
  )(prompts, images)
  fine, coarse = (
    REWARDS['jpeg_compressibility']
    .make(TEXTS, 0.1, quality=quality)(prompts, images)
    .rewards
    for quality in (95, 10)
  )
  np.testing.assert_allclose(scores.rewards, fine - coarse, rtol=1e-6)


def test_a_reward_held_out_stops_no_run(truth, monkeypatch):
  def never(texts, images):
    raise RuntimeError('away')

  monkeypatch.setitem(REWARDS, 'remote', host_row('remote', lambda: never))
  prompts, images = truth
  held_out = make_reward({'shapes': 1.0}, TEXTS, 0.1, monitor_only=('remote',))
  scores = held_out(prompts, images)
  np.testing.assert_array_equal(scores.rewards, 1.0)
  assert scores.valid.all()
  np.testing.assert_array_equal(scores.measures['remote/valid'], 0.0)
  with pytest.raises(RewardError, match=r'remote.*away'):
    make_reward({'shapes': 1.0, 'remote': 1.0}, TEXTS, 0.1)(prompts, images)


def test_parameters_of_rows_on_the_device_are_checked_too():
  with pytest.raises(InputError, match=r"'shapes'.*sucess"):
    make_reward({'shapes': 1.0}, TEXTS, parameters={'shapes': {'sucess': 1}})
