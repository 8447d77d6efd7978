"""Damaged folders of models, a short form: right values or typed errors."""

import pytest
import worker


@pytest.mark.parametrize(
  ('reader', 'count'),
  [
    ('config of Qwen', 300),
    ('configs of CLIP', 200),
    ('configs of SD3', 200),
    ('shards', 100),
    ('folder of Qwen', 8),
    ('base of shapes', 3),
    ('tokenizer', 25),
  ],
)
def test_damage_is_refused_or_read_as_it_is(reader, count, tmp_path):
  answers = list(worker.tried(tmp_path, reader, seed=1, first=0, count=count))
  assert [answer for answer in answers if 'found' in answer] == []
  kinds = answers[-1]['counts']
  assert sum(kinds.values()) == count
  assert kinds['typed error'] > count / 4
