"""Processes that watch each other through a store, which is a dict here."""

import jax
import pytest

from adrpo_jax.system import peers
from adrpo_jax.system.going_on import lost_process
from adrpo_jax.system.peers import LIMIT, Watch, watched_peers


class Store(dict):
  """The key-value store; `served` is False once process 0 has ended."""

  served = True

  def key_value_set(self, key, value, allow_overwrite=False):
    self._asked()
    assert allow_overwrite or key not in self
    self[key] = value

  def key_value_dir_get(self, key):
    self._asked()
    return [pair for pair in self.items() if pair[0].startswith(key)]

  def _asked(self):
    if not self.served:
      raise jax.errors.JaxRuntimeError('UNAVAILABLE')


@pytest.fixture
def pod():
  """A store, a clock of seconds, and the watches of three processes."""
  store, now = Store(), [0.0]
  watches = [
    Watch(store, process, lambda _: None, clock=lambda: now[0])
    for process in range(3)
  ]
  return store, now, watches


def test_processes_that_count_are_alive(pod):
  _, now, watches = pod
  for _ in range(20):
    now[0] += LIMIT / 2
    assert [watch.look() for watch in watches] == [None] * 3


def test_a_process_that_counts_no_more_is_lost_within_a_minute(pod):
  _, now, watches = pod
  for watch in watches:
    watch.look()
  found = []
  while not found:
    now[0] += peers.INTERVAL
    found = [p for watch in watches[:2] if (p := watch.look()) is not None]
    assert now[0] < 60
  assert found == [2, 2]


def test_a_process_that_is_done_is_not_lost(pod):
  _, now, watches = pod
  for watch in watches:
    watch.look()
  watches[2].tell('done')
  for _ in range(20):
    now[0] += LIMIT / 2
    assert [watch.look() for watch in watches[:2]] == [None] * 2


def test_a_process_that_has_failed_is_lost_at_once(pod):
  _, _, watches = pod
  for watch in watches:
    watch.look()
  watches[2].tell('failed')
  assert [watch.look() for watch in watches[:2]] == [2, 2]


@pytest.mark.parametrize('process', [0, 1])
def test_a_block_tells_of_its_end(monkeypatch, process):
  store, slept = Store(), []
  monkeypatch.setattr(peers.distributed.global_state, 'client', store)
  monkeypatch.setattr(peers.distributed.global_state, 'process_id', process)
  monkeypatch.setattr(peers.time, 'sleep', slept.append)
  with watched_peers(lambda _: None):
    pass
  assert set(store.values()) == {'done'}
  assert slept == []
  with pytest.raises(KeyError), watched_peers(lambda _: None):
    raise KeyError
  assert set(store.values()) == {'failed'}
  assert slept == ([6.0] if process == 0 else [])


def test_without_its_store_process_0_is_lost(pod):
  store, _, watches = pod
  store.served = False
  assert watches[1].look() == 0


def test_one_process_watches_nobody():
  with watched_peers(lambda process: pytest.fail('lost')):
    pass


@pytest.mark.parametrize(
  ('error', 'lost'),
  [
    (jax.errors.JaxRuntimeError('Gloo: Connection closed by peer [::1]'), True),
    (jax.errors.JaxRuntimeError('UNAVAILABLE: the service is gone'), True),
    (jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory'), False),
    (ValueError('Connection closed by peer'), False),
  ],
)
def test_a_collective_without_a_peer_is_told_from_other_errors(error, lost):
  assert peers.of_lost_peer(error) == lost


def test_the_line_says_which_and_how_to_go_on(tmp_path):
  said = lost_process(2, tmp_path)
  assert said.startswith('Process 2 of this run has ended')
  assert 'Start all processes again. To go on: ' in said
  assert '\n' not in said
