"""How a process joins the others: hosts of pods, and of none."""

import jax
import pytest

from adrpo_jax.errors import InputError, RunError
from adrpo_jax.system import joining


@pytest.fixture
def with_tpus(monkeypatch):
  """A host with TPUs, alone unless a test says more."""
  monkeypatch.setattr(jax, 'process_count', lambda: 1)
  monkeypatch.delenv('JAX_COORDINATOR_ADDRESS', raising=False)
  before = jax.config.jax_platforms
  jax.config.update('jax_platforms', 'tpu,cpu')
  yield
  jax.config.update('jax_platforms', before)


def joined_with(monkeypatch, error=None):
  """The options of each call to join, which raises the error."""
  options = []

  def initialize(**keywords):
    options.append(keywords)
    if error:
      raise error

  monkeypatch.setattr(jax.distributed, 'initialize', initialize)
  return options


@pytest.mark.parametrize(
  'error', [None, ValueError('coordinator_address should be defined.')]
)
def test_a_host_with_tpus_joins_its_pod_if_it_is_of_one(
  monkeypatch, with_tpus, error
):
  options = joined_with(monkeypatch, error)
  joining.join()
  assert options == [{'heartbeat_timeout_seconds': 50}]


def test_a_host_without_tpus_joins_nobody(monkeypatch):
  monkeypatch.delenv('JAX_COORDINATOR_ADDRESS', raising=False)
  options = joined_with(monkeypatch)
  joining.join()
  assert options == []


def test_a_host_that_does_not_find_its_pod_stops(monkeypatch, with_tpus):
  joined_with(monkeypatch, ConnectionError('no metadata server'))
  monkeypatch.setattr(jax, 'process_count', lambda: 4)
  with pytest.raises(RunError, match=r'join the 4 hosts .* no metadata'):
    joining.join()


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('JAX_COORDINATOR_ADDRESS', 'localhost:1234'),
    ('TPU_WORKER_HOSTNAMES', '10.0.0.2,10.0.0.3'),
  ],
)
def test_a_command_for_one_host_says_so_on_several(monkeypatch, name, value):
  monkeypatch.setenv(name, value)
  with pytest.raises(InputError, match='Expected one host for the command'):
    joining.check_alone('the command')


@pytest.mark.parametrize('hosts', ['', 'localhost'])
def test_a_command_for_one_host_runs_on_one(monkeypatch, hosts):
  monkeypatch.delenv('JAX_COORDINATOR_ADDRESS', raising=False)
  monkeypatch.setenv('TPU_WORKER_HOSTNAMES', hosts)
  joining.check_alone('the command')
