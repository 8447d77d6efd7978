"""Commands on trained weights take what shaped them from the run."""

import json

from etils import epath
import pytest
import small_run

from adrpo_jax.builders.trained_config import check_base, of_trained_weights
from adrpo_jax.builders.workdir import claim_workdir
from adrpo_jax.errors import InputError
from adrpo_jax.system.records import write_json

TRAINED = {
  'model__lora_rank': 2,
  'model__lora_alpha': 6.0,
  'model__lora_targets': 'to_q',
  'training__ema_decay': 0.5,
  'method__name': 'raft',
}


@pytest.fixture
def workdir(tmp_path):
  folder = epath.Path(tmp_path / 'run')
  folder.mkdir()
  claim_workdir(small_run.make_config(**TRAINED), folder, 'a digest')
  return folder


def test_what_shaped_the_weights_is_that_of_the_run(workdir):
  config = of_trained_weights(small_run.make_config(sampler__steps=5), workdir)
  for key, value in TRAINED.items():
    group, name = key.split('__')
    assert config[group][name] == value
  assert config.sampler.steps == 5
  again = of_trained_weights(config, workdir, ['model.lora_rank'])
  assert again.to_dict() == config.to_dict()


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('model.lora_rank', 4),
    ('model.lora_rank', 0),
    ('model.lora_alpha', 8.0),
    ('model.lora_targets', 'to_k'),
    ('model.param_dtype', 'bfloat16'),
    ('training.ema_decay', 0.0),
    ('method.name', 'adrpo'),
    ('training.guidance_scale', 2.0),
    ('sampler.guidance_scale', 2.0),
  ],
)
def test_another_is_refused(workdir, key, value):
  config = small_run.make_config(**TRAINED)
  config.update_from_flattened_dict({key: value})
  with pytest.raises(InputError, match=key.replace('.', r'\.')):
    of_trained_weights(config, workdir, [key])


@pytest.mark.parametrize('mode', ['export', 'eval', 'sample'])
def test_a_command_line_that_names_another_is_refused(workdir, mode):
  said = small_run.refused(workdir, f'--mode={mode}', model__lora_rank=4)
  assert 'model.lora_rank: 2 there, 4 asked for' in said


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('model.path', '/elsewhere'),
    ('model.dtype', 'bfloat16'),
    ('training.extrapolation', 2.0),
    ('sampler.steps', 7),
    ('eval.guidance_scales', (3.0,)),
  ],
)
def test_how_they_are_used_may_be_named(workdir, key, value):
  config = small_run.make_config(**TRAINED)
  config.update_from_flattened_dict({key: value})
  got = of_trained_weights(config, workdir, [key])
  group, name = key.split('.')
  assert got[group][name] == value
  assert got.model.lora_alpha == 6.0


def test_the_guidance_of_a_run_from_before_its_keys_were_split(workdir):
  """One key fed rollout, loss and evaluation."""
  record = json.loads((workdir / 'config.json').read_text())
  old = record['config']
  old['sampler']['guidance_scale'] = 2.0
  del old['training']['guidance_scale'], old['eval']['guidance_scales']
  write_json(workdir / 'config.json', {'config': old, 'modality': 'flow'})
  taken = of_trained_weights(small_run.make_config(), workdir)
  assert taken.sampler.guidance_scale == 2.0
  assert taken.training.guidance_scale == 2.0
  assert taken.eval.guidance_scales == (2.0,)


def test_a_run_of_texts_is_not_one_of_images(workdir):
  config = small_run.make_config(file='llm')
  with pytest.raises(InputError, match=r'Expected --config=configs/t2i\.py'):
    of_trained_weights(config, workdir)


def test_without_a_run_the_config_is_that_of_the_command(tmp_path):
  config = small_run.make_config()
  assert of_trained_weights(config, epath.Path(tmp_path)) is config


def test_without_its_config_a_run_is_not_taken(workdir):
  (workdir / 'config.json').unlink()
  (workdir / 'checkpoints' / '00000002').mkdir(parents=True)
  for take in (
    lambda: of_trained_weights(small_run.make_config(), workdir),
    lambda: check_base(small_run.make_config(), workdir, 'another'),
  ):
    with pytest.raises(InputError, match='holds checkpoints of a run'):
      take()


def test_a_base_that_is_made_there_shapes_no_run(tmp_path):
  folder = epath.Path(tmp_path)
  claim_workdir(small_run.preset_config('shapes', {}, 'pretrain'), folder)
  config = small_run.make_config()
  assert of_trained_weights(config, folder) is config
  check_base(config, folder, 'a digest')


def test_a_value_of_another_type(workdir):
  changed = json.loads((workdir / 'config.json').read_text())['config']
  changed['model']['lora_rank'] = 'two'
  write_json(workdir / 'config.json', {'config': changed, 'modality': 'flow'})
  with pytest.raises(InputError, match='of another type'):
    of_trained_weights(small_run.make_config(), workdir)


def test_a_base_of_another_path_is_a_copy(workdir):
  config = small_run.make_config(**TRAINED)
  check_base(config, workdir, 'another digest')  # its own path
  config.model.path = '/a/copy'
  check_base(config, workdir, 'a digest')
  with pytest.raises(InputError, match=r'at /a/copy, found another one'):
    check_base(config, workdir, 'another digest')


def test_targets_that_cannot_be_exported_are_refused_at_the_start():
  with pytest.raises(InputError, match=r'patch_embed.*lora_targets'):
    small_run.build(
      small_run.make_config(
        model__lora_rank=2, model__lora_targets='patch_embed|to_q'
      )
    )
