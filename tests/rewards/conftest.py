"""A tiny CLIP pair in a folder, and images for it."""

import numpy as np
import pytest
import tiny_clip


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A folder of `tiny_clip`."""
  return tiny_clip.write(tmp_path_factory.mktemp('clip'))


@pytest.fixture(scope='module')
def images():
  """Images [4, 2, 16, 24, 3] in [0, 1], of `tiny_clip.TEXTS`."""
  rng = np.random.default_rng(0)
  return rng.uniform(size=(4, 2, 16, 24, 3)).astype(np.float32)
