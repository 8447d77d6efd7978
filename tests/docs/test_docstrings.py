"""The examples in docstrings run, and give what they show.

Three names are there for all of them: `workdir`, a folder; `state`, a pytree of
arrays; and `abstract`, its shapes with their shardings.
"""

import doctest
import importlib

from etils import epath
import jax
import jax.numpy as jnp
from pages import ROOT
import pytest

FILES = sorted(
  path
  for path in (ROOT / 'adrpo_jax').rglob('*.py')
  if '>>> ' in path.read_text()
)


def test_the_method_core_has_examples():
  names = {path.name for path in FILES}
  assert {'transforms.py', 'advantages.py'} <= names


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_examples_give_what_they_show(path, tmp_path):
  name = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
  module = importlib.import_module(name)
  state = {'w': jnp.zeros(2)}
  names = {
    'workdir': epath.Path(tmp_path),
    'state': state,
    'abstract': jax.eval_shape(lambda: state),
  }
  with jax.numpy_rank_promotion('allow'):
    failed, count = doctest.testmod(
      module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE
    )
  assert count > 0
  assert failed == 0
