"""The grid of a sweep: its runs, its names, and words that are refused."""

import pytest
from test_command import called, started  # noqa: F401

from adrpo_jax.compare import sweeps
from adrpo_jax.errors import InputError

KEYS = (
  *('method.name', 'method.adrpo.beta0', 'method.fixed_w2.beta'),
  *('training.learning_rate', 'training.ema_decay'),
)
ENTRIES = {
  'adrpo': {'method.name': 'adrpo'},
  'fixed_w2': {'method.name': 'fixed_w2', 'training.learning_rate': 1e-3},
  'adrpo_paper': {'method.name': 'adrpo', 'method.adrpo.beta0': 1.0},
}


def test_a_key_of_a_method_is_for_it_and_its_variants():
  grid = sweeps.expanded(
    ENTRIES, sweeps.parse(['method.adrpo.beta0=0.02,0.5'], KEYS)
  )
  assert grid == {
    'adrpo@beta0=0.02': {'method.name': 'adrpo', 'method.adrpo.beta0': '0.02'},
    'adrpo@beta0=0.5': {'method.name': 'adrpo', 'method.adrpo.beta0': '0.5'},
    'fixed_w2': ENTRIES['fixed_w2'],
    'adrpo_paper@beta0=0.02': {
      'method.name': 'adrpo',
      'method.adrpo.beta0': '0.02',
    },
    'adrpo_paper@beta0=0.5': {
      'method.name': 'adrpo',
      'method.adrpo.beta0': '0.5',
    },
  }


def test_a_grid_has_every_combination():
  words = [
    'method.fixed_w2.beta=1,2',
    'training.learning_rate=3e-4,1e-4',
  ]
  grid = sweeps.expanded(ENTRIES, sweeps.parse(words, KEYS))
  assert list(grid)[:6] == [
    *('adrpo@learning_rate=3e-4', 'adrpo@learning_rate=1e-4'),
    *(
      'fixed_w2@beta=1,learning_rate=3e-4',
      'fixed_w2@beta=1,learning_rate=1e-4',
    ),
    *(
      'fixed_w2@beta=2,learning_rate=3e-4',
      'fixed_w2@beta=2,learning_rate=1e-4',
    ),
  ]
  assert grid['fixed_w2@beta=2,learning_rate=1e-4'] == {
    'method.name': 'fixed_w2',
    'method.fixed_w2.beta': '2',
    'training.learning_rate': '1e-4',
  }
  assert sweeps.expanded(ENTRIES, []) == ENTRIES


def test_keys_that_end_alike_are_named_whole():
  keys = ('a.rate', 'b.rate')
  found = sweeps.parse(['a.rate=1', 'b.rate=2'], keys)
  (name,) = sweeps.expanded({'adrpo': {'method.name': 'adrpo'}}, found)
  assert name == 'adrpo@a.rate=1,b.rate=2'
  assert sweeps.method_of(name) == 'adrpo'
  assert sweeps.setting_of(name) == 'a.rate=1,b.rate=2'
  assert sweeps.setting_of('adrpo') == ''


@pytest.mark.parametrize(
  ('words', 'told'),
  [
    (['method.adrpo.beta0'], 'KEY=VALUE'),
    (['method.adrpo.beta0='], 'KEY=VALUE'),
    (['method.adrpo.beta0=1,,2'], 'KEY=VALUE'),
    (['method.adrpo.beta=1'], "Did you mean 'method.adrpo.beta0'"),
    (['method.adrpo.beta0=1,1'], 'once'),
    (['method.adrpo.beta0=1', 'method.adrpo.beta0=2'], 'once'),
    (['training.ema_decay=a/b'], 'folders'),
  ],
)
def test_other_words_are_refused(words, told):
  with pytest.raises(InputError, match=told):
    sweeps.parse(words, KEYS)


def test_a_key_for_no_method_is_refused():
  only = {'fixed_w2': ENTRIES['fixed_w2']}
  with pytest.raises(InputError, match='is for, got fixed_w2'):
    sweeps.expanded(only, sweeps.parse(['method.adrpo.beta0=1'], KEYS))


def test_the_command_runs_the_grid(tmp_path, started):  # noqa: F811
  assert (
    called(tmp_path, '--sweep=method.adrpo.beta0=0.1,0.2', '--seeds=1') == 0
  )
  assert [c[0].split('/')[-2] for c in started] == [
    *('adrpo@beta0=0.1', 'adrpo@beta0=0.2', 'raft'),
  ]
  assert '--config.method.adrpo.beta0=0.2' in started[1]
  assert not any('beta0' in word for word in started[2])


def test_the_command_refuses_a_key_that_is_not_there(
  tmp_path,
  started,  # noqa: F811
  capsys,
):
  assert called(tmp_path, '--sweep=method.adrpo.beta=0.1') == 2
  assert 'Did you mean' in capsys.readouterr().err
  assert started == []
