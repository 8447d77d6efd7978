"""The examples in docstrings are what they say."""

import doctest
import importlib
import pathlib

import jax
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
def test_examples_give_what_they_show(path: pathlib.Path):
  name = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
  module = importlib.import_module(name)
  with jax.numpy_rank_promotion('allow'):
    failed, count = doctest.testmod(
      module, optionflags=doctest.NORMALIZE_WHITESPACE
    )
  assert count > 0
  assert failed == 0
