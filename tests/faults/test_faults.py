"""The short form of `python -m tests.faults`, and tests of its tools."""

import json
import pathlib

import client_run
import kill_run
import mutation_run
from mutations import mutate
import numpy as np
import oracles
import pytest
from readers import READERS
import worker


@pytest.mark.slow
def test_damaged_files_are_refused_or_read_as_they_are():
  """Every reader once at least, in a child process with limits."""
  told = mutation_run.run(1000, 0, print)
  assert told['found'] == []
  assert told['readers'].keys() == READERS.keys()
  kinds = {kind for counts in told['readers'].values() for kind in counts}
  assert kinds == {'typed error', 'right value'}


@pytest.mark.slow
def test_a_killed_export_ends_as_another(tmp_path):
  """Runs are killed in test_resume; this is the harness with another kind."""
  names, kept = ('export',), []
  told = kill_run.run(1, 0, tmp_path, print, names)
  assert told['found'] == []
  assert told['kills'] == told['families']['export']['kills'] == 1
  # What was done is not done again.
  place = tmp_path / 'again'
  again = kill_run.run(1, 0, place, print, names, dict(told), kept.append)
  assert again == told
  assert not kept
  assert not place.exists()


def test_bad_clients_keep_nobody_waiting():
  told = client_run.run(200, 0, print)
  assert told['found'] == []


def test_mutations_change_files_and_follow_their_seed():
  content = json.dumps({'a': [1, 2.5, None], 'b': {'c': 'x'}}).encode()
  drawn = [
    mutate(content, 'x.json', np.random.default_rng(seed))
    for seed in range(200)
  ]
  again = [
    mutate(content, 'x.json', np.random.default_rng(seed))
    for seed in range(200)
  ]
  assert drawn == again
  assert len({*drawn}) > 150


@pytest.mark.parametrize(
  ('read', 'kind'),
  [
    (lambda folder: 1 / 0, 'untyped error'),
    (lambda folder: 'another', 'wrong value'),
    (lambda folder: bytes(2**62), 'too large'),
    (lambda folder: 'whole', 'right value'),
    (lambda folder: READERS['answer'].read(folder), 'typed error'),
  ],
)
def test_outcomes_are_told_apart(read, kind, tmp_path):
  row = READERS['answer']._replace(
    read=read, right=lambda value, whole, folder: value == whole
  )
  assert worker.outcome(row, 'whole', pathlib.Path(tmp_path))[0] == kind


def test_an_oracle_without_a_value_makes_a_value_wrong(tmp_path):
  row = READERS['answer']._replace(read=lambda folder: np.zeros(4))
  (tmp_path / 'body.json').write_text('{')
  assert worker.outcome(row, None, tmp_path)[0] == 'wrong value'


def test_equality_is_to_the_bit():
  assert oracles.same(np.float32([0.0]), np.float32([0.0]))
  assert not oracles.same(np.float32([0.0]), np.float32([-0.0]))
  assert not oracles.same(np.zeros(2), np.zeros((1, 2)))
  assert not oracles.same(1, 1.0)
  assert oracles.same({'a': [float('nan')]}, {'a': [float('nan')]})
