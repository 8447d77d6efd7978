"""What macOS and notebooks leave in the folders of models is left aside."""

import pathlib

import pytest

from adrpo_jax.builders.generators.decoder import companions
from adrpo_jax.errors import InputError
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.tiny import clip as clip_tiny
from adrpo_jax.rewards.clip.folder import read_clip
from adrpo_jax.rewards.clip.towers import vision_tower
from adrpo_jax.system.fingerprint import fingerprint

FORK = b'\0\5\x16\7\0\2\0\0Mac OS X        '


def litter(folder):
  """Puts a ._ file beside each file, and folders of editors and notebooks."""
  for file in list(folder.iterdir()):
    (folder / f'._{file.name}').write_bytes(FORK)
  (folder / '._pytorch_model.bin').write_bytes(FORK)
  (folder / '.DS_Store').write_bytes(FORK)
  for name in ('.ipynb_checkpoints', '.cache', 'tokenizer_old', '__MACOSX'):
    (folder / name).mkdir()
    (folder / name / 'config.json').write_text('{}')


def test_a_digest_is_of_the_visible_files(tmp_path):
  (tmp_path / 'config.json').write_text('{}')
  before = fingerprint([tmp_path])
  litter(tmp_path)
  assert fingerprint([tmp_path]) == before
  (tmp_path / 'config.json').write_text('{ }')
  assert fingerprint([tmp_path]) != before


def test_a_model_loads_from_a_littered_folder(tmp_path):
  path = clip_tiny.write(tmp_path)
  litter(pathlib.Path(path))
  assert vision_tower(read_clip(path)).model.config == clip_tiny.VISION


def test_a_fork_of_a_pickle_is_no_pickle(tmp_path):
  litter(tmp_path)
  opened = tensor_files(tmp_path)
  with pytest.raises(InputError, match=r'Expected .*model\.safetensors'):
    opened.__enter__()


def test_only_files_of_a_tokenizer_are_copied(tmp_path):
  for name in ('tokenizer.json', 'merges.txt'):
    (tmp_path / name).write_text('{}')
  litter(tmp_path)
  names = [file.name for file in companions(tmp_path)]
  assert names == ['tokenizer.json', 'merges.txt']
