"""A folder of output is that of one command, the old one or the new one."""

import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.system import manifest
from adrpo_jax.system.output_folder import check_own, output_folder


def names(folder):
  return sorted(
    str(file.relative_to(folder))
    for file in folder.rglob('*')
    if file.is_file()
  )


def write(target, *files):
  with output_folder(target) as new:
    for file in files:
      (new / file).parent.mkdir(parents=True, exist_ok=True)
      (new / file).write_text(f'content of {file}')


def test_nothing_of_an_earlier_command_is_left(tmp_path):
  target = tmp_path / 'run' / 'drawn'
  write(target, '0_0.png', '1_0.png', 'inner/a.txt')
  assert names(target) == ['0_0.png', '1_0.png', 'inner/a.txt', manifest.NAME]
  write(target, '0_0.png')
  assert names(target) == ['0_0.png', manifest.NAME]
  assert manifest.damage(target) is None
  assert [p.name for p in target.parent.iterdir()] == ['drawn']


def test_a_command_that_fails_leaves_the_old_output(tmp_path):
  target = tmp_path / 'drawn'
  write(target, '0_0.png')

  def fail():
    with output_folder(target) as new:
      (new / '1_0.png').write_text('half')
      raise RuntimeError('killed')

  with pytest.raises(RuntimeError, match='killed'):
    fail()
  assert names(target) == ['0_0.png', manifest.NAME]
  assert [p.name for p in tmp_path.iterdir()] == ['drawn']


@pytest.mark.parametrize('name', ['mine.png', 'inner/mine.txt'])
@pytest.mark.parametrize('sealed', [True, False])
def test_files_of_another_origin_are_named_and_left(tmp_path, name, sealed):
  target = tmp_path / 'drawn'
  if sealed:
    write(target, '0_0.png')
  (target / name).parent.mkdir(parents=True, exist_ok=True)
  (target / name).write_text('mine')
  before = names(target)
  with pytest.raises(InputError, match=f'another origin: {name}'):
    write(target, '1_0.png')
  assert names(target) == before
  with pytest.raises(InputError, match='another origin'):
    check_own(target)


def test_a_file_in_the_way_is_named(tmp_path):
  (tmp_path / 'drawn').write_text('mine')
  with pytest.raises(InputError, match='found a file'):
    write(tmp_path / 'drawn', '0_0.png')


def test_an_empty_folder_may_be_there(tmp_path):
  (tmp_path / 'drawn').mkdir()
  write(tmp_path / 'drawn', '0_0.png')
  assert names(tmp_path / 'drawn') == ['0_0.png', manifest.NAME]
