"""Old names of config keys and values: refused, with the new name."""

from flax.traverse_util import flatten_dict
import pytest
import small_run

from adrpo_jax.errors import InputError
from adrpo_jax.system import config_keys

PRESETS = ('t2i:debug', 'llm:tiny_hf', 'pretrain:shapes', 'pretrain:sort')
FILES = {
  preset: set(
    flatten_dict(
      small_run.preset_config(
        preset.partition(':')[2], {}, preset.partition(':')[0]
      ).to_dict(),
      sep='.',
    )
  )
  for preset in PRESETS
}


def has(keys, key):
  return any(k == key or k.startswith(f'{key}.') for k in keys)


@pytest.mark.parametrize(('old', 'new'), config_keys.RENAMED.items())
def test_a_renamed_key_exists_under_the_new_name_alone(old, new):
  assert any(has(keys, new) for keys in FILES.values())
  assert not any(has(keys, old) for keys in FILES.values())
  assert config_keys.current(old) == new
  assert config_keys.current(new) == new


@pytest.mark.parametrize(('old', 'new'), config_keys.RENAMED.items())
def test_the_command_line_refuses_an_old_key_and_names_the_new(
  tmp_path, old, new
):
  file, _, preset = next(
    preset for preset, keys in FILES.items() if has(keys, new)
  ).partition(':')
  status, _, said = small_run.call(
    f'--config={small_run.ROOT}/configs/{file}.py:{preset}',
    f'--config.{old}=4',
    f'--workdir={tmp_path / "run"}',
    *(['--mode=pretrain'] if file == 'pretrain' else []),
  )
  assert status == 2
  assert 'Traceback' not in said
  assert f'config.{old} was renamed: use config.{new}.' in said
  assert config_keys.NOTES.get(old, '') in said


def test_keys_below_a_renamed_one_are_renamed_too(tmp_path):
  flag = '--config.reward.normalise.shapes=group'
  said = small_run.refused(tmp_path / 'run', flag)
  assert 'use config.reward.normalize.shapes.' in said


@pytest.mark.parametrize(
  ('file', 'key', 'old'),
  [
    ('t2i', 'compute.remat_policy', 'all'),
    ('llm', 'compute.remat_policy', 'products'),
    ('t2i', 'method.adrpo.zero_variance', 'pull'),
    ('llm', 'method.rloo.zero_variance', 'mask'),
    ('llm', 'method.grpo.advantage', 'centred'),
  ],
)
def test_an_old_value_is_refused_and_the_new_one_named(
  tmp_path, file, key, old
):
  new = config_keys.RENAMED_VALUES[key.rpartition('.')[2]][old]
  said = small_run.refused(tmp_path / 'run', f'--config.{key}={old}', file=file)
  assert f"The value '{old}' of config.{key} was renamed: use '{new}'." in said
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('file', ['t2i', 'llm'])
def test_keys_of_pretraining_are_said_to_be_in_a_file_of_their_own(
  tmp_path, file
):
  flag = '--config.pretrain.flow.steps=5'
  said = small_run.refused(tmp_path / 'run', flag, file=file)
  assert 'has moved: use --config=configs/pretrain.py.' in said


def test_an_unknown_key_of_pretraining_is_not_said_to_have_moved(tmp_path):
  status, _, said = small_run.call(
    f'--config={small_run.ROOT}/configs/pretrain.py:shapes',
    '--config.pretrain.flow.stepz=5',
    '--mode=pretrain',
    f'--workdir={tmp_path / "run"}',
  )
  assert status == 2
  assert 'pretrain.flow.steps' in said
  assert 'moved' not in said


def test_a_config_has_its_mode(tmp_path):
  folder = f'--workdir={tmp_path / "run"}'
  config = f'--config={small_run.ROOT}/configs/pretrain.py:sort'
  for flags, kind in (
    ([config], 'pre-training'),
    ([*small_run.arguments(), '--mode=pretrain'], 'fine-tuning'),
  ):
    status, _, err = small_run.call(*flags, folder)
    assert status == 2
    assert f'with a config of {kind}' in err
  assert not (tmp_path / 'run').exists()


def test_a_record_gets_the_keys_that_it_is_older_than():
  old = {'sampler': {'guidance_scale': 2.0}, 'training': {'x': 1}, 'eval': {}}
  new = config_keys.completed(old)
  assert new == {
    'sampler': {'guidance_scale': 2.0},
    'training': {'x': 1, 'guidance_scale': 2.0},
    'eval': {'guidance_scales': [2.0]},
  }
  assert old['eval'] == {}
  own = new | {'training': {'guidance_scale': 3.0}}
  assert config_keys.completed(own) == own
  texts = {'sampler': {'temperature': 0.7}, 'training': {}, 'eval': {}}
  all_at_once = {'sampler': {'temperature': 0.7, 'max_num_seqs': 0}}
  assert config_keys.completed(texts) == texts | all_at_once


@pytest.mark.parametrize(('new', 'split'), config_keys.SPLIT.items())
def test_a_key_that_split_off_exists_beside_the_other(new, split):
  assert any({new, split[0]} <= keys for keys in FILES.values())


def test_a_config_file_with_an_old_key_is_refused():
  with pytest.raises(InputError, match=r'use config\.prompts\.group_size'):
    config_keys.check_names({'steps': 3, 'prompts.samples': 8})
