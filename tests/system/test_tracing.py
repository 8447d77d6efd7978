"""Traces of some steps, as the profiler writes them."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest

from adrpo_jax.system.tracing import StepTrace


def traced_steps(folder):
  """Numbers of the steps in the traces of a folder, in the order of time."""
  steps = []
  for file in sorted(folder.glob('**/perfetto_trace.json.gz')):
    events = json.loads(gzip.decompress(file.read_bytes()))['traceEvents']
    steps += sorted(
      int(event['args']['step_num'])
      for event in events
      if event.get('name', '').startswith('step')
      and 'step_num' in event.get('args', {})
    )
  return steps


@pytest.mark.parametrize(
  ('begin', 'end', 'traced'),
  [
    (0, 6, [2, 3]),
    (3, 6, [3]),  # A run that goes on in the middle.
    (0, 3, [2]),  # A run that is stopped in the middle.
    (4, 6, []),
  ],
)
def test_steps_of_a_range(tmp_path, begin, end, traced):
  folder = tmp_path / 'profile'
  with StepTrace(folder, range(2, 4)) as trace:
    for step in range(begin, end):
      with trace.step(step):
        jax.block_until_ready(jnp.ones(3) + step)
  assert traced_steps(folder) == traced
  assert folder.exists() == bool(traced)
  assert bool(list(folder.glob('**/*.xplane.pb'))) == bool(traced)


def test_no_steps(tmp_path):
  with StepTrace(tmp_path / 'profile', range(0)) as trace, trace.step(0):
    pass
  assert not (tmp_path / 'profile').exists()
