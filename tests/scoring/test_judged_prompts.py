"""The row "judge a folder of images of any origin" of the quickstart."""

import re
import shlex

import jax
from PIL import Image
import pytest
import small_run

from adrpo_jax import builders
from adrpo_jax.errors import InputError

QUICKSTART = small_run.ROOT / 'docs' / 'quickstart.md'


@pytest.fixture
def folder(tmp_path):
  """Two images of one gray, for two prompts."""
  for name in ('0.png', '1.png'):
    Image.new('RGB', (32, 32), (90, 90, 90)).save(tmp_path / name)
  return tmp_path


def judged(folder, *lines, **changes):
  (folder / 'p.txt').write_text('\n'.join(lines))
  changes = {'reward__monitor_only': ('jpeg_compressibility',)} | changes
  config = small_run.make_config('default', **changes)
  return builders.judge_images(
    config, str(folder), str(folder / 'p.txt'), jax.devices()[:1]
  )


def test_the_printed_command_judges_images_of_natural_prompts(folder):
  (folder / 'p.txt').write_text('an owl on a post\na grey heron\n')
  row = re.search(r'judge a folder.*\| `(.*)` \|', QUICKSTART.read_text())
  command = row[1].replace('DIR', str(folder))
  words = shlex.split(command.replace('FILE', str(folder / 'p.txt')))
  assert words[:3] == ['python', '-m', 'adrpo_jax.main']
  status, out, err = small_run.call(*words[3:], f'--workdir={folder}/out')
  assert status == 0, err
  names = [line.split()[0] for line in out.splitlines()]
  assert names == ['jpeg_compressibility', 'diversity_pixel', 'Scores:']


def test_a_mistake_among_prompts_of_the_world_is_named(folder):
  with pytest.raises(InputError, match=r'p\.txt, line 2: .*owl'):
    judged(folder, 'a red circle', 'an owl on a post')


def test_natural_prompts_need_a_reward_of_their_own(folder):
  with pytest.raises(InputError, match=r"none of the world 'shapes'.*\['shap"):
    judged(folder, 'an owl', 'a heron', reward__monitor_only=())


def test_a_fault_of_the_file_is_told_first(folder):
  with pytest.raises(InputError, match=r'none\.txt.*No such file'):
    builders.judge_images(
      small_run.make_config('default'), str(folder), f'{folder}/none.txt'
    )


def test_a_run_without_the_world_of_its_reward_is_refused(tmp_path):
  said = small_run.refused(
    tmp_path,
    world='',
    prompts__source='p.csv',
    prompts__eval_prompts='p.csv',
    reward__weights__shapes=1.0,
  )
  assert 'Expected --config.world=shapes with the reward' in said
