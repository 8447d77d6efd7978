"""The spread of images that are drawn right is computed once in a cache."""

import math

import pytest

from adrpo_jax.builders.tasks import images
from adrpo_jax.worlds import WORLDS, shapes_diversity


@pytest.fixture
def calls(tmp_path, monkeypatch):
  """How often a spread was computed, in a cache that is empty."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  return []


def spread_of_truth(calls, *settings, **changes):
  """What another process would get."""

  def spread(*args):
    calls.append(settings)
    return shapes_diversity.spread(*args)

  world = WORLDS['shapes']._replace(spread=spread, **changes)
  return images._spread_of_truth(world, *settings)


def test_another_process_reads_it(calls):
  first = spread_of_truth(calls, 4, 2)
  assert first > 0
  assert spread_of_truth(calls, 4, 2) == first
  assert len(calls) == 1
  assert spread_of_truth(calls, 4, 3) != first
  assert len(calls) == 2


def test_damage_is_told_and_it_is_computed_anew(calls, tmp_path):
  first = spread_of_truth(calls, 4, 2)
  (file,) = (tmp_path / 'adrpo_jax').glob('spread_*.json')
  content = file.read_bytes()
  file.write_bytes(content[:-1] + b'9')
  with pytest.warns(UserWarning, match='are damaged'):
    assert spread_of_truth(calls, 4, 2) == first
  assert len(calls) == 2
  assert file.read_bytes() == content


def test_a_world_of_other_code_is_not_kept(calls, tmp_path):
  def truth(facts, samples):
    return shapes_diversity.truth(facts, samples)

  values = {spread_of_truth(calls, 4, 2, truth=truth) for _ in range(2)}
  assert len(calls) == 2
  assert math.isfinite(*values)
  assert not list((tmp_path / 'adrpo_jax').glob('spread_*'))
