"""Rewards in two stages: the same numbers, and both sides at work at once.

That they are is shown by meetings: the device's work on one part and the judge
of another wait for each other. A time limit only ends a test that has failed.
"""

import threading

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np
import pytest

from adrpo_jax.rewards.host import transfer
from adrpo_jax.rewards.host.host_reward import HostReward
from adrpo_jax.rewards.normalizers import NORMALIZERS
from adrpo_jax.rewards.overlap import draw_and_judge, join, split, with_stages
from adrpo_jax.rewards.protocol import RewardError, on_device
from adrpo_jax.rewards.weighted_sum import weighted_sum
from adrpo_jax.types import PromptBatch

P, G = 8, 3
TEXTS = tuple(f'prompt {i}' for i in range(P))
LIMIT = 20  # seconds, of a test that fails


def prompts():
  """Prompts whose ids are not their places."""
  ids = np.arange(P)[::-1].copy()
  return PromptBatch.of_step(
    ids, facts={'wanted': jnp.asarray(ids, jnp.float32)}
  )


@jax.jit
def draw(prompts):
  """The pixels of sample (p, g) are (10·id + g) / 255, its latent is that."""
  level = 10.0 * prompts.facts['wanted'][:, None] + jnp.arange(G)[None]
  pixels = jnp.broadcast_to(
    level[..., None, None, None], level.shape + (2, 2, 3)
  )
  return {'x0': level}, pixels / 255


def measured(texts, images):
  """The id that the text names, and the pixel's place in its group."""
  ids = np.array([int(text.split()[1]) for text in texts])
  return 100.0 * ids + images[:, 0, 0, 0] - 10 * ids


def hosted(function=measured, texts=TEXTS, **options):
  return HostReward(function, texts, name='mine', **options)


def brightness(images, facts):
  mean = images.mean((1, 2, 3))
  return {'reward': mean - facts['wanted'], 'mean': mean}


def both():
  """A sum of a host and a device reward, one normalized over the step."""
  return weighted_sum(
    {'host': hosted(batch_size=2), 'device': on_device(brightness)},
    {'host': 1.0, 'device': 0.5},
    normalizers={'host': NORMALIZERS['standard']()},
  )


def assert_same(found, expected):
  jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize('parts', [1, 2, 4, 8])
@pytest.mark.parametrize('make', [hosted, both, lambda: on_device(brightness)])
def test_parts_change_no_number(make, parts):
  whole = draw(prompts())
  expected = make()(prompts(), whole[1])
  drawn, finish = draw_and_judge(draw, make(), prompts(), parts=parts)
  assert_same(drawn, whole)
  assert_same(finish(), expected)


def test_numbers_by_hand():
  _, finish = draw_and_judge(draw, hosted(), prompts(), parts=4)
  expected = 100.0 * np.arange(P)[::-1, None] + np.arange(G)
  np.testing.assert_array_equal(finish().rewards, expected)


@pytest.mark.parametrize('parts', [2, 4])
def test_the_device_draws_one_part_while_the_one_before_is_judged(parts):
  """Device work of part k + 1 and judge of part k meet, for every k."""
  meetings = [threading.Barrier(2) for _ in range(parts - 1)]
  texts = tuple(str(i) for i in range(parts))
  met = []

  def meet(k, who):
    meetings[k].wait(LIMIT)  # Breaks unless the other comes.
    met.append((k, who))

  def on_the_device(ids):
    if ids[0] > 0:
      meet(ids[0] - 1, 'device')
    return np.zeros((1, G, 2, 2, 3), np.float32)

  @jax.jit
  def slow_draw(prompts):
    shape = jax.ShapeDtypeStruct((1, G, 2, 2, 3), jnp.float32)
    images = jax.pure_callback(on_the_device, shape, prompts.ids)
    return {}, images

  def judge(texts, images):
    if int(texts[0]) < parts - 1:
      meet(int(texts[0]), 'judge')
    return np.zeros(len(texts))

  reward = hosted(judge, texts, workers=1, invalid_limit=0.0)
  _, finish = draw_and_judge(
    slow_draw, reward, PromptBatch.of_step(np.arange(parts)), parts=parts
  )
  assert finish().valid.all()
  assert sorted(met) == [
    (k, who) for k in range(parts - 1) for who in ('device', 'judge')
  ]


def test_no_judge_is_waited_for_before_finish():
  handed_over = threading.Event()

  def judge(texts, images):
    assert handed_over.wait(LIMIT)
    return measured(texts, images)

  reward = hosted(judge, workers=1, invalid_limit=0.0)
  drawn, finish = draw_and_judge(draw, reward, prompts(), parts=4)
  jax.block_until_ready(drawn)
  handed_over.set()
  assert finish().valid.all()


def test_the_thread_that_draws_waits_for_no_image(monkeypatch):
  """It reads ids [P] only; the reward's threads read all else."""
  read, here = transfer.Piece.read, threading.current_thread()
  seen = {True: set(), False: set()}

  def noted(piece):
    seen[threading.current_thread() is here].add(piece.block.ndim)
    return read(piece)

  monkeypatch.setattr(transfer.Piece, 'read', noted)
  draw_and_judge(draw, hosted(), prompts(), parts=4)[1]()
  assert seen == {True: {1}, False: {2, 5}}


def test_a_part_is_on_its_way_to_the_host_before_the_next_is_drawn(
  monkeypatch,
):
  """A device in order makes what is dispatched first, first."""
  order = []
  reward = hosted()
  begin = reward.begin

  def noted_draw(prompts):
    order.append(('draw', int(prompts.ids[0])))
    return draw(prompts)

  def noted_begin(prompts, images):
    begun = begin(prompts, images)
    order.append(('begun', int(prompts.ids[0])))
    return begun

  monkeypatch.setattr(reward, 'begin', noted_begin)
  draw_and_judge(noted_draw, reward, prompts(), parts=4)[1]()
  assert order == [
    (what, 7 - k) for k in range(4) for what in ('draw', 'begun')
  ]


def test_the_limit_on_invalid_samples_is_one_of_the_step():
  """Half of a part is lost; it is an eighth of the step."""

  def judge(texts, images):
    numbers = measured(texts, images)
    return np.where(numbers // 100 == 7, np.nan, numbers)

  for limit, stops in ((0.125, False), (0.12, True)):
    reward = hosted(judge, invalid_limit=limit)
    _, finish = draw_and_judge(draw, reward, prompts(), parts=4)
    if stops:
      with pytest.raises(RewardError, match=r'12\.5%'):
        finish()
    else:
      assert finish().valid.sum() == 7 * G
    assert (reward.num_judged, reward.num_invalid) == (P * G, G)


def test_what_fails_on_the_way_to_the_host_is_raised(monkeypatch):
  """It is no low reward, and what waits behind it is not asked for any more."""
  read, raised, calls = transfer.Piece.read, threading.Event(), []

  def broken(piece):
    if piece.block.ndim == 5 and not calls:
      calls.append('device')
      raise RuntimeError('the device is lost')
    return read(piece)

  def judge(texts, images):
    calls.append('judge')
    assert raised.wait(LIMIT)
    return measured(texts, images)

  monkeypatch.setattr(transfer.Piece, 'read', broken)
  reward = hosted(judge, workers=1, batch_size=1, invalid_limit=1.0)
  with pytest.raises(RuntimeError, match='the device is lost'):
    draw_and_judge(draw, reward, prompts(), parts=4)[1]()
  raised.set()
  reward._pool.shutdown()
  assert calls in (['device'], ['device', 'judge'])
  assert reward.num_judged == 0


def test_parts_are_every_kth_prompt_and_join_again():
  tree = {'a': np.arange(6), 'b': (np.arange(12).reshape(6, 2), ())}
  parts = split(tree, 3)
  assert [part['a'].tolist() for part in parts] == [[0, 3], [1, 4], [2, 5]]
  np.testing.assert_array_equal(parts[2]['b'][0], [[4, 5], [10, 11]])
  assert_same(join(parts), tree)
  assert split(tree, 1)[0] is tree
  assert join([tree]) is tree
  for count in (0, 4):
    with pytest.raises(ValueError, match=r'divides \[6\] prompts, got'):
      split(tree, count)


def test_rows_stay_on_their_devices():
  if jax.device_count() < 4:
    pytest.skip('needs four devices')
  mesh = jax.make_mesh(
    (2, 2),
    ('data', 'fsdp'),
    devices=jax.devices()[:4],
    axis_types=(jax.sharding.AxisType.Auto,) * 2,
  )
  rows = NamedSharding(mesh, PartitionSpec(('data', 'fsdp')))
  tree = {
    'ids': np.arange(P, dtype=np.int32),
    'x': np.arange(6.0 * P).reshape(P, 3, 2),
  }
  placed = jax.device_put(tree, rows)
  parts = split(placed, 2)
  whole = join(parts)
  for leaf in jax.tree.leaves((parts, whole)):
    assert leaf.sharding.is_equivalent_to(rows, leaf.ndim)
  for shard in parts[1]['ids'].addressable_shards:  # of 2 prompts per device
    at = list(mesh.devices.ravel()).index(shard.device)
    assert [int(p) for p in shard.data] == [2 * at + 1]
  assert_same(whole, tree)


def test_stages_of_a_reward_that_has_none():
  reward = on_device(brightness)
  assert with_stages(reward) is not reward
  mine = hosted()
  assert with_stages(mine) is mine
  stages = with_stages(reward)
  images = draw(prompts())[1]
  assert_same(stages(prompts(), images), reward(prompts(), images))
