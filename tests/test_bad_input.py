"""What the command line says to bad input: what was expected, what came."""

import json
import pathlib
import pickle
import shutil

from etils import epath
import jax
import numpy as np
import pytest
import small_run

from adrpo_jax import builders, commands
from adrpo_jax.builders import checks, parts
from adrpo_jax.builders.tasks.texts import make_text_task
from adrpo_jax.errors import InputError
from adrpo_jax.method import methods
from adrpo_jax.method.methods import METHODS, parameters
from adrpo_jax.models.files import safetensors_trees
from adrpo_jax.models.shapes import base as base_models
from adrpo_jax.rewards.user_rewards import IMAGE_FORMS
from adrpo_jax.tree_names import leaf_names

TRANSFORMER = 'transformer.safetensors'


@pytest.mark.parametrize(
  ('flag', 'wrong', 'nearest'),
  [
    ('--config.stesp=3', "'stesp'", "'steps'"),
    ('--config.training.lerning_rate=1', "'training.lerning_rate'", "'trainin"),
    ('--config.method.adrpo.beta=1', "'method.adrpo.beta'", 'adrpo.beta0'),
    ('--config.reward.weights.shaeps=1', 'shaeps', "'reward.weights.shapes'"),
    ('--config.method.name=adpro', "'adpro'", "'adrpo'"),
    ('--config.sampler.solver=eular', "'eular'", "'euler'"),
    ('--config.training.sigma_distribution=unifrom', "'unifrom'", "'uniform'"),
    ('--config.world=shape', "'shape'", "'shapes'"),
    ('--mode=trian', 'trian', 'train'),
    ('--config.steps=many', 'many', 'steps'),
  ],
)
def test_a_mistyped_word_is_named_with_the_nearest(
  tmp_path, flag, wrong, nearest
):
  said = small_run.refused(tmp_path / 'run', flag)
  assert wrong in said
  assert nearest in said
  assert not (tmp_path / 'run').exists()  # free for the command put right


def test_a_mistyped_preset_is_named_with_the_nearest():
  said = small_run.refused('unused', preset='debgu')
  assert "'debgu'" in said
  assert "Did you mean 'debug'?" in said


@pytest.mark.parametrize(
  ('flag', 'said'),
  [
    ('--config.steps=0', 'a whole number, at least 1, got 0.'),
    ('--config.steps=1e3', "a whole number, at least 1, got '1e3'."),
    ('--config.steps=', "a whole number, at least 1, got ''."),
    ('--config.seed=-1', 'a whole number, at least 0, got -1.'),
    ('--config.checkpoint.every=-1', 'a whole number, at least 0, got -1.'),
    ('--config.training.learning_rate=1e400', 'a number above 0, got inf.'),
    ('--config.training.learning_rate=x', "a number above 0, got 'x'."),
    ('--config.method.adrpo.beta0=nan', 'a number above 0, got nan.'),
    ('--config.log.tensorboard=maybe', "True or False, got 'maybe'."),
    ('--config.model.dtype=fp16', "'bfloat16', got 'fp16'."),
  ],
)
def test_a_value_that_a_key_does_not_take(tmp_path, flag, said):
  key = flag.removeprefix('--').partition('=')[0]
  told = small_run.refused(tmp_path / 'run', flag)
  assert f'Expected {key} to be {said}' in told.replace("'float32' or ", '')
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('mode', ['eval', 'sample', 'export'])
def test_a_value_is_checked_in_every_mode(tmp_path, mode):
  flags = [f'--mode={mode}', '--prompt=a red circle', '--config.eval.every=-1']
  said = small_run.refused(tmp_path / 'run', *flags)
  assert 'config.eval.every to be a whole number, at least 0, got -1' in said
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('words', [['steps=3'], ['--', '--config.steps=3']])
def test_a_word_that_is_no_flag_is_named(tmp_path, words):
  said = small_run.refused(tmp_path / 'run', '--count=1', *words)
  assert words[-1] in said
  assert '--config.KEY=VALUE' in said


BEGINNING = 'from configs import t2i\n\ndef get_config():\n'


@pytest.mark.parametrize(
  ('content', 'said'),
  [
    ('def get_config(:\n', 'SyntaxError'),
    ('import nowhere_at_all\n', 'ModuleNotFoundError'),
    ('steps = 3\n', "KeyError: 'get_config'"),
    ('def get_config():\n  return undefined\n', 'NameError'),
    ('def get_config():\n  return {"steps": 3}\n', 'AttributeError'),
    (f'{BEGINNING}  return t2i.get_config().steps.nothing\n', 'AttributeErr'),
    (f'{BEGINNING}  return t2i.get_config()["nothing"]\n', 'nothing'),
    (
      'from ml_collections import ConfigDict, config_dict\n\n'
      'def get_config():\n'
      '  return ConfigDict({"steps": config_dict.required_placeholder(int)})\n',
      'RequiredValueError',
    ),
    ('vm2041\n', 'NameError'),  # /etc/hostname, for one
  ],
)
def test_a_config_file_that_cannot_be_read_is_named(tmp_path, content, said):
  file = tmp_path / 'mine.py'
  file.write_text(content)
  status, out, err = small_run.call(f'--config={file}')
  assert status == 2
  assert 'Traceback' not in out + err
  assert 'Expected a config file with a function get_config' in err
  assert str(file) in err
  assert said in err


@pytest.mark.parametrize('name', METHODS)
def test_the_paper_preset_holds_what_is_published(name):
  config = small_run.make_config('paper', method__name=name)
  for key, value in parameters(name, 'paper').items():
    assert config.method[name][key] == value


def test_a_mistyped_flag_is_named(tmp_path):
  assert 'wrokdir' in small_run.refused(tmp_path, '--wrokdir=x')


@pytest.mark.parametrize(
  'flag',
  [
    'url=http://me:p4ssW0rd@host',
    'url=me:p4ssW0rd@host',
    'token_from=p4ssW0rd',
  ],
)
def test_a_secret_is_neither_shown_nor_written(tmp_path, flag):
  """Not even that of a reward which has no weight."""
  said = small_run.refused(tmp_path / 'run', f'--config.reward.remote.{flag}')
  assert 'environment variable' in said
  assert 'p4ssW0rd' not in said
  assert not (tmp_path / 'run').exists()


def test_a_mistyped_reward_is_named_with_the_nearest():
  config = small_run.make_config()
  with config.unlocked():
    config.reward.weights = {'shpes': 1.0}
  terms = parts.reward_terms(config.reward, IMAGE_FORMS)
  with pytest.raises(InputError, match="Did you mean 'shapes'"):
    parts.make_reward(terms, ['a red circle'], dict)


@pytest.mark.parametrize(
  'given', [{}, {'NUM_PROCESSES': 2, 'PROCESS_ID': 'one'}]
)
def test_a_process_has_to_know_its_number(tmp_path, monkeypatch, given):
  monkeypatch.setenv('JAX_COORDINATOR_ADDRESS', 'localhost:1')
  for name, value in given.items():
    monkeypatch.setenv(f'JAX_{name}', str(value))
  said = small_run.refused(tmp_path)
  assert 'JAX_NUM_PROCESSES and a smaller JAX_PROCESS_ID' in said


def test_several_processes_have_to_be_given_a_workdir(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  status, _, err = small_run.call(*small_run.arguments())
  assert status == 2
  assert '--workdir=DIR, a folder that all 2 processes see' in err


@pytest.mark.parametrize(
  ('file', 'name', 'advice'),
  [
    ('t2i', 'adrpo', 'Raise it, or take orw_cfm_w2, which compares none.'),
    ('t2i', 'dpo', 'Raise it, or take orw_cfm_w2, which compares none.'),
    ('llm', 'grpo', 'one alone teaches nothing. Raise it.'),
    ('llm', 'dpo', 'one alone teaches nothing. Raise it.'),
  ],
)
def test_one_sample_is_no_group_and_the_advice_is_of_the_family(
  file, name, advice
):
  config = small_run.preset_config(
    small_run.SMALLEST[file],
    {'prompts.group_size': 1, 'method.name': name},
    file,
  )
  with pytest.raises(InputError, match='at least 2, got 1') as error:
    builders.build(config, builders.make_mesh(config, jax.devices()[:1]))
  assert 'config.prompts.group_size' in str(error.value)
  assert advice in str(error.value)


def test_one_sample_is_enough_beside_pairs_of_a_file():
  config = small_run.preset_config(
    'debug',
    {'prompts.group_size': 1, 'method.name': 'dpo', 'method.dpo.pairs': 'x'},
  )
  method = builders.make_method(config, METHODS)
  checks.check_groups(method, config, METHODS)


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    # 8 prompts × 4 samples of a step; 8 × 2 of an evaluation
    ({'compute.decode_chunks': 3}, '32 of a step, got 3'),
    ({'compute.decode_chunks': 32}, '16 of an evaluation, got 32'),
    ({'compute.decode_chunks': 16, 'compute.reward_chunks': 4}, '8 of a step'),
  ],
)
def test_chunks_of_decoding_divide_the_samples(tmp_path, changes, said):
  config = small_run.preset_config('debug', changes)
  with pytest.raises(InputError, match=said):
    commands.train(config, epath.Path(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'prompts.max_prompt_length': 1}, 'prompts of at most 1 tokens, got one'),
    ({'world': ''}, 'Expected config.world, whose base is taken'),
  ],
)
def test_a_world_of_texts_that_cannot_be_made(changes, said):
  config = small_run.preset_config('debug', changes, 'llm')
  with pytest.raises(InputError, match=said):
    make_text_task(config)


def test_more_trained_steps_than_steps_are_refused(tmp_path):
  said = small_run.refused(
    tmp_path / 'run', method__name='flow_grpo', sampler__trained_steps=10**6
  )
  assert 'at most config.sampler.steps = 2, got 1000000' in said


def test_a_run_without_a_reward():
  config = small_run.preset_config('debug', {'reward.weights.shapes': 0.0})
  with pytest.raises(InputError, match='nothing could be learned'):
    builders.build(config, builders.make_mesh(config, jax.devices()[:1]))


def test_the_parameters_of_the_method_are_asked_for():
  config = small_run.preset_config('debug', {})
  del config.method.adrpo.beta0
  with pytest.raises(InputError, match=r'config\.method\.adrpo.*beta0'):
    builders.make_method(config, METHODS)


@pytest.mark.parametrize(
  ('key', 'changes'),
  [
    ('prompts.prompts_per_step', {'prompts__prompts_per_step': 6}),
    ('eval.batch_size', {'eval__num_prompts': 12, 'eval__batch_size': 4}),
    ('compute.microbatches', {'compute__microbatches': 3}),
  ],
)
def test_a_batch_has_to_divide_over_the_mesh(tmp_path, key, changes):
  said = small_run.refused(tmp_path, devices=8, **changes)
  assert key in said
  assert '8' in said


def test_a_mesh_has_to_fit_the_devices(tmp_path):
  assert 'mesh' in small_run.refused(tmp_path, devices=8, mesh__fsdp=3)


@pytest.mark.parametrize(
  ('key', 'value'),
  [('ema_decay', 1.0), ('ema_decay', -0.1), ('extrapolation', 0.0)],
)
def test_weights_that_cannot_be_averaged(tmp_path, key, value):
  said = small_run.refused(tmp_path, **{f'training__{key}': value})
  assert f'training.{key}' in said
  assert str(value) in said


@pytest.mark.parametrize(
  ('changes', 'expected'),
  [
    ({'sampler__eta': 0.0}, 'eta > 0'),
    ({'sampler__trained_steps': 3}, 'trained_steps'),
  ],
)
def test_a_sampler_that_cannot_be_trained_on(tmp_path, changes, expected):
  assert expected in small_run.refused(
    tmp_path, method__name='flow_grpo', **changes
  )


def test_a_clip_above_beta0_warns_with_the_reason():
  config = small_run.make_config(
    training__reference_sync_steps=0, method__adrpo__advantage_clip=1.2
  )
  with pytest.warns(UserWarning, match='no stable fixed point'):
    builders.make_method(config, methods.METHODS)


def test_a_clip_above_beta0_is_quiet_where_the_reference_moves(recwarn):
  builders.make_method(
    small_run.make_config(
      training__reference_sync_steps=2, method__adrpo__advantage_clip=1.2
    ),
    methods.METHODS,
  )
  assert not recwarn


@pytest.mark.parametrize('mode', ['train', 'sample', 'pretrain'])
def test_a_file_in_the_way_of_the_workdir(tmp_path, mode):
  (tmp_path / 'file').write_text('here first')
  flags = [*small_run.arguments(), '--prompt=a red circle']
  if mode == 'pretrain':
    flags = [f'--config={small_run.ROOT}/configs/pretrain.py:debug']
  workdir = f'--workdir={tmp_path / "file" / "run"}'
  status, out, err = small_run.call(*flags, f'--mode={mode}', workdir)
  assert status == 2
  assert 'Traceback' not in out + err
  assert 'error: Expected a workdir' in err
  assert str(tmp_path / 'file') in err


@pytest.mark.parametrize(
  ('name', 'content', 'named'),
  [
    ('empty.txt', '', ['empty.txt', 'at least one prompt']),
    ('gap.txt', 'a red circle\n\na blue dragon\n', ['line 3', "'dragon'"]),
    ('word.txt', 'a red circle\na red dragon\n', ['line 2', "'dragon'"]),
    ('grammar.txt', 'a red circle\nred a circle\n', ['line 2', 'Expected']),
    ('torn.jsonl', '{"prompt": "a red circle"}\n{"pro\n', ['line 2', 'JSON']),
    ('key.jsonl', '{"words": "a red circle"}\n', ['line 1', "'words'"]),
    ('none.md', 'a red circle\n', ['none.md', '.txt, .jsonl, .csv']),
  ],
)
def test_a_bad_prompt_file_is_named_with_its_line(
  tmp_path, name, content, named
):
  path = tmp_path / name
  path.write_text(content)
  said = small_run.refused(tmp_path / 'run', prompts__source=path)
  assert all(word in said for word in [*named, name]), said


def test_a_missing_prompt_file(tmp_path):
  said = small_run.refused(
    tmp_path / 'run', prompts__source=tmp_path / 'nowhere.txt'
  )
  assert 'nowhere.txt' in said


@pytest.fixture
def base_copy(tmp_path):
  return pathlib.Path(
    shutil.copytree(small_run.base_folder(), tmp_path / 'base')
  )


def test_weights_of_a_base_that_are_not_finite_are_named(base_copy):
  """They are no fault of the reward, which could judge no image of them."""
  stored = leaf_names(base_models.load(base_copy).params['transformer'])
  name = 'params/proj_out/dense/bias'
  stored[name] = np.full_like(stored[name], np.nan)
  safetensors_trees.save_tree(base_copy / TRANSFORMER, stored)
  with pytest.raises(
    InputError, match=rf'finite weights in .*{TRANSFORMER}.* of {name} are NaN'
  ):
    base_models.load(base_copy)


@pytest.mark.parametrize(
  'fields',
  [
    {'transformer': None},
    {'transformer': {'num_layers': 0}},
    {'transformer': {'unknown': 1}},
    {'text_encoder': [1]},
    {'autoencoder': {'norm_num_groups': 'x'}},
  ],
  ids=str,
)
def test_a_config_of_a_base_that_is_damaged_is_named(base_copy, fields):
  path = base_copy / 'config.json'
  whole = json.loads(path.read_text())
  for name, own in fields.items():
    whole[name] = whole[name] | own if isinstance(own, dict) else own
  path.write_text(json.dumps(whole))
  with pytest.raises(InputError, match=r'base/config\.json'):
    base_models.load(base_copy)


@pytest.mark.parametrize('fault', ['missing', 'extra', 'misshapen'])
def test_weights_that_do_not_fit_are_named(tmp_path, base_copy, fault):
  stored = leaf_names(base_models.load(base_copy).params['transformer'])
  name = 'params/proj_out/dense/bias'
  if fault == 'missing':
    del stored[name]
  elif fault == 'extra':
    name = 'params/proj_out/dense/more'
    stored[name] = np.zeros(3, np.float32)
  else:
    stored[name] = np.zeros(3, np.float32)
  safetensors_trees.save_tree(base_copy / TRANSFORMER, nested(stored))
  said = small_run.refused(tmp_path / 'run', model__path=base_copy)
  assert name in said
  assert TRANSFORMER in said


def nested(named):
  tree = {}
  for name, leaf in named.items():
    *path, last = name.split('/')
    here = tree
    for part in path:
      here = here.setdefault(part, {})
    here[last] = leaf
  return tree


def test_pickled_weights_are_refused(tmp_path, base_copy):
  with open(base_copy / TRANSFORMER, 'wb') as file:
    pickle.dump({'weight': [1.0]}, file)
  assert 'pickle' in small_run.refused(tmp_path / 'run', model__path=base_copy)


def test_weights_that_are_cut_short(tmp_path, base_copy):
  whole = (base_copy / TRANSFORMER).read_bytes()
  (base_copy / TRANSFORMER).write_bytes(whole[:1000])
  said = small_run.refused(tmp_path / 'run', model__path=base_copy)
  assert 'cut short' in said
  assert TRANSFORMER in said


def test_a_folder_without_a_base(tmp_path):
  said = small_run.refused(tmp_path / 'run', model__path=tmp_path)
  assert '--mode=pretrain' in said
