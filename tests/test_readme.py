"""The README's example is a program that runs and improves the reward."""

import pathlib
import re

import numpy as np

README = pathlib.Path(__file__).parent.parent / 'README.md'


def test_the_example_runs_and_moves_the_model_to_the_reward():
  (source,) = re.findall(r'```python\n(.*?)```', README.read_text(), re.DOTALL)
  scope: dict = {}
  exec(compile(source, str(README), 'exec'), scope)
  moved = np.asarray(scope['w'] - scope['w_ref'])
  assert np.isfinite(moved).all()
  assert np.abs(moved).max() > 1e-3
