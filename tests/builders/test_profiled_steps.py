"""The steps of log.profile."""

import pytest
import small_run

from adrpo_jax import builders
from adrpo_jax.errors import InputError


@pytest.mark.parametrize(
  ('text', 'steps'), [('', []), ('2:4', [2, 3, 4]), ('0:0', [0])]
)
def test_steps_that_are_traced(text, steps):
  config = small_run.preset_config('default', {'log.profile': text})
  builders.check_config(config)
  assert list(builders.profiled_steps(config)) == steps


@pytest.mark.parametrize('text', ['4:2', '298:300'])
def test_steps_that_a_run_does_not_come_to(text):
  config = small_run.preset_config('default', {'log.profile': text})
  with pytest.raises(InputError, match=r'FIRST ≤ LAST < config\.steps = 300'):
    builders.profiled_steps(config)


@pytest.mark.parametrize('text', ['3', '3:', ':4', 'a:b', '-1:2', '1:2:3'])
def test_what_is_no_range(text):
  config = small_run.preset_config('default', {'log.profile': text})
  with pytest.raises(InputError, match='two steps FIRST:LAST'):
    builders.check_config(config)
