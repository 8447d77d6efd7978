"""Prompts are encoded once and read back bit for bit, or encoded again."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.errors import RunError
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.prompt_cache import PromptCache
from adrpo_jax.system.fingerprint import fingerprint


class Encoder:
  """Encodes a text as its letters, and records the texts."""

  def __init__(self):
    self.asked = []

  def __call__(self, texts):
    for text in texts:
      self.asked.append(text)
      letters = np.frombuffer(text.ljust(4).encode(), np.uint8)[:4]
      states = letters.astype(jnp.bfloat16)[:, None] / 3
      yield text, Condition(states, letters.astype(np.float32))


def test_each_prompt_is_encoded_once_for_all_runs(tmp_path):
  encode = Encoder()
  rows = PromptCache(tmp_path / 'c', encode)(['fox', 'owl', 'fox', ''])
  assert encode.asked == ['fox', 'owl', '']
  conditions = rows(np.array([2, 1, 1]))
  assert conditions.states.shape == (3, 4, 1)
  assert conditions.states.dtype == jnp.bfloat16
  np.testing.assert_array_equal(conditions.pooled[1, :3], list(b'owl'))
  np.testing.assert_array_equal(conditions.pooled[1], conditions.pooled[2])
  again = PromptCache(tmp_path / 'c', encode)(['owl', 'hare'])
  assert encode.asked == ['fox', 'owl', '', 'hare']
  np.testing.assert_array_equal(
    again(np.array([0])).states[0], conditions.states[1]
  )


def test_what_was_encoded_before_a_failure_is_kept(tmp_path):
  def broken(texts):
    yield from Encoder()(texts[:1])
    raise RuntimeError('no more memory')

  with pytest.raises(RuntimeError):
    PromptCache(tmp_path, broken)(['fox', 'owl'])
  encode = Encoder()
  PromptCache(tmp_path, encode)(['fox', 'owl'])
  assert encode.asked == ['owl']


def test_damaged_conditions_are_encoded_again_with_one_warning(tmp_path):
  texts = [f'fox {i}' for i in range(20)]
  whole = PromptCache(tmp_path, Encoder())(texts)(np.arange(20))
  rng = np.random.default_rng(0)
  files = sorted(tmp_path.iterdir())
  for file in files[:10]:
    content = bytearray(file.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    file.write_bytes(content)
  files[10].write_bytes(b'')
  files[11].write_bytes(files[12].read_bytes())  # another prompt's
  encode = Encoder()
  with pytest.warns(UserWarning, match='made again') as warned:
    rows = PromptCache(tmp_path, encode)(texts)
  assert len(warned) == 1
  assert '12 of the cached files' in str(warned[0].message)
  assert len(encode.asked) == 12
  again = rows(np.arange(20))
  np.testing.assert_array_equal(again.states, whole.states)
  np.testing.assert_array_equal(again.pooled, whole.pooled)
  PromptCache(tmp_path, encode)(texts)
  assert len(encode.asked) == 12


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path):
  (tmp_path / 'file').write_text('in the way')
  encode = Encoder()
  cache = PromptCache(tmp_path / 'file' / 'prompts', encode)
  with pytest.warns(UserWarning, match='Nothing can be kept'):
    rows = cache(['fox', 'owl'])
  np.testing.assert_array_equal(rows(np.array([1])).pooled[0, :3], list(b'owl'))
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    cache(['owl'])
  assert encode.asked == ['fox', 'owl']


def test_a_file_that_goes_during_the_run_is_named(tmp_path):
  rows = PromptCache(tmp_path, Encoder())(['fox'])
  (file,) = tmp_path.iterdir()
  file.unlink()
  with pytest.raises(RunError, match=f'{file.name}.*same command again'):
    rows(np.array([0]))


def test_a_fingerprint_is_of_content_names_and_settings(tmp_path):
  folder = tmp_path / 'text_encoder'
  folder.mkdir()
  (folder / 'model.safetensors').write_bytes(b'a' * (1 << 25))
  first = fingerprint([folder], 77)
  assert first == fingerprint([folder], 77)
  digests = {first, fingerprint([folder], 256)}
  for place in (0, (1 << 25) - 1):
    changed = bytearray(b'a' * (1 << 25))
    changed[place] = 0
    (folder / 'model.safetensors').write_bytes(changed)
    digests.add(fingerprint([folder], 77))
  (folder / 'model.safetensors').rename(folder / 'weights.safetensors')
  digests.add(fingerprint([folder], 77))
  assert len(digests) == 5
