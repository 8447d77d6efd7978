"""Host rewards: order, failures, counting, threads and processes."""

import textwrap
import threading

import both_processes
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.host.host_reward import HostReward
from adrpo_jax.rewards.protocol import RewardError
from adrpo_jax.types import PromptBatch

TEXTS = ('zero', 'one', 'two', 'three')


def image(level):
  return np.broadcast_to(level[..., None, None, None], (*level.shape, 2, 2, 3))


@pytest.fixture
def images():
  """P=2, G=3; the pixels of sample (p, g) are (10·p + g) / 255."""
  return jnp.asarray(
    image((10 * np.arange(2)[:, None] + np.arange(3)) / 255.0), jnp.float32
  )


@pytest.fixture
def prompts():
  return PromptBatch.of_step(np.array([3, 1]))


def first_pixel(texts, images):
  return images[:, 0, 0, 0].astype(np.float64)


def make(function, **options):
  return HostReward(function, TEXTS, name='mine', **options)


@pytest.mark.parametrize('batch_size', [1, 2, 4, 100])
def test_scores_come_back_in_their_places(batch_size, prompts, images):
  seen = []

  def function(texts, batch):
    assert batch.dtype == np.uint8
    assert batch.shape == (len(texts), 2, 2, 3)
    seen.extend(zip(texts, batch[:, 0, 0, 0].tolist(), strict=True))
    return first_pixel(texts, batch)

  scores = make(function, batch_size=batch_size)(prompts, images)
  np.testing.assert_array_equal(scores.rewards, [[0, 1, 2], [10, 11, 12]])
  assert scores.rewards.dtype == jnp.float32
  assert scores.valid.all()
  assert sorted(seen) == [
    *(('one', n) for n in (10, 11, 12)),
    *(('three', n) for n in (0, 1, 2)),
  ]


def test_images_are_rounded_and_clipped_once(prompts):
  values = jnp.array([[-0.3, 0.4999, 1.7]] * 2)
  scores = make(first_pixel)(prompts, jnp.asarray(image(np.array(values))))
  np.testing.assert_array_equal(scores.rewards[0], [0, 127, 255])
  whole = np.full((2, 3, 2, 2, 3), 200, np.uint8)
  np.testing.assert_array_equal(make(first_pixel)(prompts, whole).rewards, 200)


def test_batches_run_at_the_same_time(prompts, images):
  meeting = threading.Barrier(3, timeout=20)

  def function(texts, batch):
    meeting.wait()  # Breaks, and so fails, unless three threads are in here.
    return first_pixel(texts, batch)

  scores = make(function, batch_size=2, workers=3)(prompts, images)
  assert scores.valid.all()


def raises(texts, batch):
  raise KeyError('no such word')


@pytest.mark.parametrize(
  ('failure', 'reason'),
  [
    (raises, "It raised KeyError: 'no such word'."),
    (lambda t, b: np.zeros((len(t), 1)), r'expected rewards of shape \(1,\)'),
    (lambda t, b: np.zeros(len(t) + 1), r'got \(2,\)'),
    (lambda t, b: 1.0, r'got \(\)'),
    (lambda t, b: None, r'got \(\)'),
    (lambda t, b: ['good'] * len(t), 'could not convert string'),
    (lambda t, b: np.full(len(t), np.nan), 'It returned nan as a reward'),
    (lambda t, b: np.full(len(t), -np.inf), 'It returned -inf as a reward'),
    (lambda t, b: np.full(len(t), 1e300), 'It returned inf as a reward'),
  ],
)
@pytest.mark.filterwarnings('ignore:overflow')
def test_failures_cost_their_own_samples_only(failure, reason, prompts, images):
  def function(texts, batch):
    odd = batch[0, 0, 0, 0] == 11
    return (failure if odd else first_pixel)(texts, batch)

  reward = make(function, batch_size=1, invalid_limit=0.2)
  scores = reward(prompts, images)
  np.testing.assert_array_equal(scores.valid, [[1, 1, 1], [1, 0, 1]])
  np.testing.assert_array_equal(scores.rewards, [[0, 1, 2], [10, 0, 12]])
  assert (reward.num_judged, reward.num_invalid) == (6, 1)
  with pytest.raises(RewardError, match=reason):
    make(function, batch_size=1, invalid_limit=0.1)(prompts, images)


def test_a_batch_fails_as_a_whole(prompts, images):
  def function(texts, batch):
    return raises(texts, batch) if 11 in batch else first_pixel(texts, batch)

  scores = make(function, batch_size=2, invalid_limit=0.5)(prompts, images)
  np.testing.assert_array_equal(scores.valid, [[1, 1, 1], [1, 0, 0]])


def test_one_bad_number_in_a_batch_costs_one_sample(prompts, images):
  def function(texts, batch):
    numbers = first_pixel(texts, batch)
    return np.where(numbers == 2, np.nan, numbers)

  scores = make(function, invalid_limit=0.5)(prompts, images)
  np.testing.assert_array_equal(scores.valid, [[1, 1, 0], [1, 1, 1]])


def test_images_that_are_not_finite_are_not_shown_to_the_function(
  prompts, images
):
  shown = []

  def function(texts, batch):
    shown.extend(batch[:, 0, 0, 0].tolist())
    return first_pixel(texts, batch)

  broken = images.at[1, 2, 0, 0, 0].set(jnp.nan)
  reward = make(function, invalid_limit=0.5)
  np.testing.assert_array_equal(
    reward(prompts, broken).valid, [[1, 1, 1], [1, 1, 0]]
  )
  assert sorted(shown) == [0, 1, 2, 10, 11]
  assert reward.last_failure == '1 images were not finite.'


def test_each_kind_of_failure_is_shown_once(prompts, images, caplog):
  reward = make(raises, batch_size=1, invalid_limit=1.0)
  for _ in range(2):
    reward(prompts, images)
  shown = [r.getMessage() for r in caplog.records if 'mine' in r.getMessage()]
  assert len(shown) == 1
  assert 'no such word' in shown[0]
  assert (reward.num_judged, reward.num_invalid) == (12, 12)


def test_sharded_images_are_judged_once_each(prompts, images):
  if jax.device_count() < 4:
    pytest.skip('needs four devices')
  mesh = jax.make_mesh(
    (2, 2),
    ('data', 'tensor'),
    devices=jax.devices()[:4],
    axis_types=(jax.sharding.AxisType.Auto,) * 2,
  )
  calls = []

  def function(texts, batch):
    calls.append(len(texts))
    return first_pixel(texts, batch)

  for spec in (PartitionSpec('data'), PartitionSpec()):
    calls.clear()
    placed = jax.device_put(images, NamedSharding(mesh, spec))
    scores = make(function)(prompts, placed)
    np.testing.assert_array_equal(scores.rewards, [[0, 1, 2], [10, 11, 12]])
    assert sum(calls) == 6
  pixels = NamedSharding(mesh, PartitionSpec(None, None, 'data'))
  with pytest.raises(ValueError, match='sharded by sample'):
    make(function)(prompts, jax.device_put(images, pixels))


@pytest.mark.parametrize(
  'options',
  [{'batch_size': 0}, {'workers': 0}, {'invalid_limit': 1.5}],
)
def test_bad_options_are_refused(options):
  with pytest.raises(InputError, match='mine'):
    make(first_pixel, **options)


def test_ids_beyond_the_texts_are_refused(images):
  with pytest.raises(ValueError, match=r'below 4.*got \[3, 4\]'):
    make(first_pixel)(PromptBatch.of_step(np.array([3, 4])), images)


TWO_PROCESSES = textwrap.dedent("""
  import numpy as np
  from jax.sharding import NamedSharding, PartitionSpec
  from adrpo_jax.rewards.host.host_reward import HostReward
  from adrpo_jax.rewards.normalizers import NORMALIZERS
  from adrpo_jax.rewards.overlap import draw_and_judge, join
  from adrpo_jax.rewards.protocol import on_device
  from adrpo_jax.rewards.weighted_sum import weighted_sum
  from adrpo_jax.types import PromptBatch
  mesh = jax.make_mesh(
    (4,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  split = NamedSharding(mesh, PartitionSpec('data'))
  def placed(array, spec=split):
    return jax.make_array_from_callback(array.shape, spec, lambda i: array[i])
  levels = np.arange(24).reshape(8, 3)
  images = np.broadcast_to(levels[..., None, None, None], (8, 3, 2, 2, 3))
  images = placed(images.astype(np.float32) / 255)
  prompts = PromptBatch.of_step(placed(np.arange(8)), facts=placed(np.ones(8)))
  calls = []
  def function(texts, batch):
    calls.extend(batch[:, 0, 0, 0].tolist())
    return np.where(batch[:, 0, 0, 0] == 7, np.nan, batch[:, 0, 0, 0])
  reward = HostReward(function, 'abcdefgh', name='mine', batch_size=2)
  scores = reward(prompts, images)
  np.testing.assert_array_equal(scores.valid, levels != 7)
  np.testing.assert_array_equal(
    scores.rewards, np.where(levels == 7, 0, levels)
  )
  first = 12 * int(sys.argv[2])
  assert sorted(calls) == list(range(first, first + 12))
  assert (reward.num_judged, reward.num_invalid) == (24, 1)

  gather = jax.jit(
    lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec())
  )
  both = weighted_sum(
    {
      'host': reward,
      'device': on_device(lambda x, facts: {'reward': x.mean((1, 2, 3))}),
    },
    {'host': 1.0, 'device': 0.5},
    normalizers={'host': NORMALIZERS['standard'](eps=0.0)},
  )
  whole = gather(both(prompts, images))
  draw = jax.jit(lambda part: ((), part.condition))
  drawn, finish = draw_and_judge(
    draw, both, prompts.replace(condition=images), parts=2
  )
  parts = gather(finish())
  jax.tree.map(np.testing.assert_array_equal, parts, whole)
  known = levels[levels != 7]
  expected = (known - known.mean()) / known.std() + 0.5 * known / 255
  np.testing.assert_allclose(
    np.asarray(parts.rewards)[levels != 7], expected, rtol=1e-5, atol=1e-6
  )
  jax.tree.map(np.testing.assert_array_equal, gather(drawn[1]), gather(images))

  turned = jax.sharding.Mesh(mesh.devices[::-1], ('data',))
  apart = placed(np.arange(8), NamedSharding(turned, PartitionSpec('data')))
  said = ''
  try:
    reward(PromptBatch.of_step(apart), images)
  except ValueError as error:
    said = str(error)
  assert 'got none for 24 of 24' in said, said
  print('agreed')
""")


@pytest.mark.slow
def test_two_processes_judge_their_own_and_share_the_scores():
  both_processes.agree(TWO_PROCESSES)
