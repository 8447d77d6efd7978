"""The measures of a base that does not know relations, and one by hand."""

import numpy as np
import pytest
import small_run

from adrpo_jax.models.shapes import base as base_models
from benchmarks import t2i_relations


def test_the_opposite_relation_by_hand():
  assert (
    t2i_relations.reversed_relation(
      'a red circle left of a blue square and above a green cross'
    )
    == 'a red circle right of a blue square and below a green cross'
  )


@pytest.mark.slow
def test_figures_of_a_small_random_base():
  """Its states differ where words do; its loss says nothing of relations."""
  base = base_models.load(small_run.base_folder(1))
  figures = t2i_relations.measured(base, t2i_relations.held_out(16))
  assert 0 < figures['text']['objects'] < figures['text']['relation']
  assert set(figures['loss']) == {f'{x:g}' for x in t2i_relations.LEVELS}
  assert np.abs(list(figures['loss'].values())).max() < 0.1
  samples = figures['samples']
  assert samples['success'] <= samples['objects_right'] <= 1
