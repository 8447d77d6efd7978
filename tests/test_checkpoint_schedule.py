"""The steps that are saved: every so many, and always the last."""

from types import SimpleNamespace

from etils import epath
import jax
import numpy as np
import pytest

from adrpo_jax import train
from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.pretrain.stage import StageConfig, train_stage
from adrpo_jax.types import Scores, TrainState, Weights

ZEROS = np.zeros((2, 2))


def counted(step):
  """The state after so many steps of nothing."""
  return TrainState(np.int32(step), {}, (), (), None, None, None)


def update(state, *unused):
  metrics = {
    'weights': Weights(ZEROS, ZEROS),
    'beta': ZEROS,
    'usable': ZEROS > 0,
  }
  metrics |= {'policy': 0.0, 'loss': 0.0, 'finite': True}
  return counted(int(state.step) + 1), metrics


def experience(state, step, key):
  scores = Scores(ZEROS, ZEROS == 0, {})
  return (), (), scores, {'seconds_rollout': 1.0}


@pytest.fixture
def saved(monkeypatch):
  """The steps that are saved, in a list."""
  steps = []
  monkeypatch.setattr(
    Checkpoints, 'save', lambda self, step, state, meta: steps.append(step)
  )
  return steps


@pytest.mark.parametrize(
  ('every', 'expected'),
  [(0, [5]), (1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])],
)
def test_a_run_saves_every_so_many_steps_and_the_last(
  tmp_path, saved, every, expected
):
  schedule = train.Schedule(5, 0, every, 2, 0, 0.0, tensorboard=False)
  run = SimpleNamespace(
    init=lambda: counted(0),
    abstract=counted(0),
    update=update,
    frozen={},
    replay_tolerance=1.0,
  )
  train.train(run, experience, lambda *_: None, schedule, epath.Path(tmp_path))
  assert sorted(set(saved)) == expected


@pytest.mark.parametrize(('every', 'expected'), [(0, [5]), (2, [2, 4, 5])])
def test_a_stage_of_pretraining_likewise(tmp_path, saved, every, expected):
  stage = StageConfig(5, 1, 0.1, 0.5, every)
  train_stage(
    'stage',
    stage,
    lambda params, batch, key: (params['a'] * batch).sum(),
    {'a': jax.numpy.ones(())},
    lambda rows: np.ones(1, np.float32),
    1,
    tmp_path,
    seed=0,
  )
  assert saved == expected
