"""A stage of pre-training that was killed tells what one that ran through does.

A toy loss, so that a stage takes a second.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.pretrain.captioned_images import dataset
from adrpo_jax.pretrain.stage import StageConfig, train_stage
from adrpo_jax.system.records import read_lines

STAGE = StageConfig(
  steps=70, batch_size=4, learning_rate=0.1, ema_decay=0.9, save_every=30
)
TARGETS = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)


class Killed(Exception):
  """The end of a process, in place of one."""


def trained(workdir, killed_at=None):
  batches = iter(range(STAGE.steps))

  def batch_of(rows):
    if next(batches) == killed_at:
      raise Killed
    return TARGETS[rows]

  return train_stage(
    'toy',
    STAGE,
    lambda params, batch, key: jnp.mean((params['w'][None] - batch) ** 2),
    {'w': jnp.zeros(3)},
    batch_of,
    len(TARGETS),
    workdir,
    seed=0,
  )


def test_a_killed_stage_tells_the_losses_of_one_that_ran_through(tmp_path):
  expected = trained(tmp_path / 'whole')
  for killed_at in (40, 35):  # at steps 40 and 65, saved at 30 and 60
    with pytest.raises(Killed):
      trained(tmp_path / 'killed', killed_at)
  got = trained(tmp_path / 'killed')
  np.testing.assert_array_equal(got['w'], expected['w'])
  losses = read_lines(tmp_path / 'killed' / 'toy.jsonl')
  assert [line['step'] for line in losses] == [49, 69]
  assert losses == read_lines(tmp_path / 'whole' / 'toy.jsonl')
  trained(tmp_path / 'killed')  # A finished one is not begun again.
  assert losses == read_lines(tmp_path / 'killed' / 'toy.jsonl')


def test_losses_that_are_missing_are_named(tmp_path):
  trained(tmp_path)
  (tmp_path / 'toy.jsonl').write_text('')
  with pytest.raises(InputError, match=r'steps \[49, 69\] are missing'):
    trained(tmp_path)


@pytest.mark.slow
def test_damaged_images_are_rendered_again(tmp_path):
  shares = dict.fromkeys(
    ('single', 'binding', 'relation', 'counting', 'style', 'composition'), 1 / 6
  )
  path = tmp_path / 'pictures.npz'
  data = dataset(path, 8, 0.5, 0, shares)
  whole = path.read_bytes()
  for damaged in (whole[:-40], whole[:500] + b'?' + whole[501:], b''):
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match='made again'):
      again = dataset(path, 8, 0.5, 0, shares)
    np.testing.assert_array_equal(again.images, data.images)
  np.testing.assert_array_equal(
    dataset(path, 8, 0.5, 0, shares).prompt, data.prompt
  )
