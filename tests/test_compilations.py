"""A real run compiles each of its functions once, and then nothing more."""

import contextlib
import math
from typing import NamedTuple

import jax
import pytest
import small_run

from adrpo_jax import train
from adrpo_jax.experience import online

EVENT = '/jax/core/compile/backend_compile_duration'  # cached ones count too


@contextlib.contextmanager
def compilations():
  """A list that names what is compiled while the context lasts."""
  names = []

  def listen(event, _, **about):
    if event == EVENT:
      names.append(about['fun_name'])

  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    yield names
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)


class Compiled(NamedTuple):
  """What was compiled up to the second step of a process, and after it."""

  early: list
  late: list


def trained(run, workdir, steps):
  """Trains on to `steps`, with a checkpoint and an evaluation at every step."""
  experience = online(run)
  starts = []

  def noted(state, step, key):
    starts.append(len(names))
    return experience(state, step, key)

  with compilations() as names:
    outcome = train.train(
      run,
      noted,
      lambda step, state, _: run.evaluate(
        run.policy(state, run.frozen), run.frozen
      ),
      train.Schedule(
        steps=steps,
        seed=0,
        checkpoint_every=1,
        keep=2,
        evaluate_every=1,
        invalid_limit=0.0,
        tensorboard=False,
      ),
      workdir,
    )
  assert int(outcome.state.step) == steps
  assert len(starts) == 3
  return Compiled(names[: starts[1]], names[starts[1] :])


@pytest.mark.slow
@pytest.mark.parametrize(
  ('method', 'mesh'),
  [('adrpo', {}), ('nft', {'fsdp': 2, 'tensor': 2})],
  ids=['adrpo-1', 'nft-4'],
)
def test_each_function_compiles_once_in_a_process(method, mesh, tmp_path):
  """Also after an evaluation, and in a second process that goes on."""
  axes = {f'mesh__{axis}': size for axis, size in mesh.items()}
  config = small_run.make_config(method__name=method, **axes)
  for steps in (3, 6):
    run = small_run.build(config, math.prod(mesh.values()))
    compiled = trained(run, tmp_path, steps)
    assert 'jit(update)' in compiled.early
    assert compiled.late == []
    for function in (run.rollout, run.decode, run.update):
      assert function._cache_size() == 1, function
