"""The table of config keys: a row for each key, and what a config must have."""

import functools
import math
import random
from unittest import mock

from flax.traverse_util import flatten_dict
import numpy as np
import pytest
import small_run

from adrpo_jax import builders
from adrpo_jax.builders import config_table
from adrpo_jax.errors import InputError
from adrpo_jax.method.methods import METHODS
from adrpo_jax.system import config_values

# Name -> config file, presets (None: all), table.
TABLES = {
  'images': ('t2i', None, config_table.FINE_TUNING['flow']),
  'texts': ('llm', None, config_table.FINE_TUNING['language']),
  'sounds': ('audio', None, config_table.FINE_TUNING['audio']),
  'base of images': (
    'pretrain',
    ['shapes', 'debug'],
    config_table.PRETRAINING['flow'],
  ),
  'base of texts': (
    'pretrain',
    ['sort', 'sort_or_pass'],
    config_table.PRETRAINING['language'],
  ),
  'base of sounds': ('pretrain', ['tones'], config_table.PRETRAINING['audio']),
}


@functools.cache
def module_of(file):
  return small_run.config_module(file)


def configs(name):
  """The configs of all presets that a table is of."""
  file, presets, _ = TABLES[name]
  module = module_of(file)
  return [module.get_config(preset) for preset in presets or module.PRESETS]


def keys_of(name):
  flat = [flatten_dict(c.to_dict(), sep='.') for c in configs(name)]
  return {
    key for keys in flat for key in keys if key.split('.')[0] != 'compare'
  }


@pytest.mark.parametrize('name', TABLES)
def test_every_key_of_every_preset_has_a_row_and_every_row_a_key(name):
  table = TABLES[name][2]
  rows = {key: config_values.row_of(key, table) for key in keys_of(name)}
  assert [key for key, row in rows.items() if row is None] == []
  assert set(table) - set(rows.values()) == set()


@pytest.mark.parametrize('name', TABLES)
def test_no_key_has_two_rows(name):
  table = TABLES[name][2]
  for key in keys_of(name) - set(table):
    rows = [row for row in table if config_values.row_of(key, {row: None})]
    assert len(rows) == 1, (key, rows)


@pytest.mark.parametrize('name', TABLES)
def test_every_preset_passes(name):
  for config in configs(name):
    builders.check_config(config)


def refusal(name, changes, preset=''):
  """What the check says to changes of a config, '' where they pass."""
  file, presets, _ = TABLES[name]
  named = [preset] if preset else (presets or [])[:1]
  config = module_of(file).get_config(*named)
  for key, value in changes.items():
    *path, last = key.split('.')
    group = config
    for word in path:
      group = group[word]
    with config.unlocked(), config.ignore_type():
      group[last] = value
  try:
    builders.check_config(config)
  except InputError as error:
    return str(error)
  return ''


@pytest.mark.parametrize('name', TABLES)
def test_no_key_takes_none_a_number_that_is_not_finite_or_a_huge_one(name):
  wrong = (None, math.nan, math.inf, -math.inf, 1e39, 10**400, '\0', {1})
  for key in keys_of(name):
    for value in wrong:
      with pytest.raises(InputError, match='got ') as error:
        config_values.check_values(
          {key: value}, TABLES[name][2], lambda key: False
        )
      assert f'Expected config.{key} to be ' in str(error.value)


@pytest.mark.parametrize('name', TABLES)
def test_a_whole_number_is_no_bool_and_no_fraction(name):
  for key, row in TABLES[name][2].items():
    if row.described().startswith('a whole number'):
      wrong = [True, 0.5, 1.0, '1', -1, -(2**31), 2**31, 2**64]
      assert not any(map(row.includes, wrong)), key


AT_LEAST_1 = [
  *('steps', 'prompts.prompts_per_step', 'prompts.group_size'),
  *('training.updates_per_rollout', 'eval.num_prompts', 'eval.group_size'),
  *('eval.batch_size', 'compute.microbatches', 'compute.reward_chunks'),
  *('mesh.tensor', 'reward.remote.workers'),
]
IMAGES_AT_LEAST_1 = [
  *('sampler.steps', 'training.noise_draws', 'compute.decode_chunks'),
  *('model.resolution', 'model.t5_length', 'method.orw_cfm_w2.refresh'),
]
TEXTS_AT_LEAST_1 = [
  *('sampler.max_completion_length', 'prompts.max_prompt_length'),
  *('compute.logits_chunk', 'reward.soft_overlong.limit'),
]
BASE_AT_LEAST_1 = ['images', 'flow.batch_size', 'decoder.batch_size']


@pytest.mark.parametrize(
  ('name', 'key'),
  [
    *(('images', key) for key in AT_LEAST_1 + IMAGES_AT_LEAST_1),
    *(('texts', key) for key in AT_LEAST_1 + TEXTS_AT_LEAST_1),
    *(('base of images', f'pretrain.{key}') for key in BASE_AT_LEAST_1),
    *(('base of texts', f'pretrain.{k}') for k in ('steps', 'samples')),
  ],
)
@pytest.mark.parametrize('value', [0, -1])
def test_a_count_is_at_least_1(name, key, value):
  said = refusal(name, {key: value})
  assert said.startswith(f'Expected config.{key} to be a whole number')
  assert ('from 1 to ' in said) != ('at least 1' in said)
  assert said.endswith(f', got {value}.')


@pytest.mark.parametrize(
  ('name', 'key', 'value', 'expected'),
  [
    ('images', 'seed', -1, 'at least 0'),
    ('images', 'checkpoint.every', -1, 'at least 0'),
    ('images', 'checkpoint.max_to_keep', 1, 'at least 2'),
    ('images', 'eval.every', -5, 'at least 0'),
    ('images', 'training.warmup_steps', -1, 'at least 0'),
    ('images', 'training.learning_rate', 0.0, 'above 0'),
    ('images', 'training.learning_rate', 1e-60, 'above 0'),
    ('images', 'training.max_grad_norm', 0.0, 'above 0'),
    ('images', 'training.weight_decay', -0.1, 'at least 0'),
    ('images', 'training.ema_decay', 1.0, 'below 1'),
    ('images', 'training.extrapolation', 0.0, 'above 0'),
    ('images', 'model.lora_rank', -1, 'from 0 to 1000000'),
    ('images', 'model.lora_alpha', 0.0, 'above 0'),
    ('images', 'model.lora_targets', '(', 'a regular expression'),
    ('images', 'model.dtype', 'fp16', "Did you mean 'bfloat16'?"),
    ('images', 'model.param_dtype', '', "'float32' or 'bfloat16'"),
    ('images', 'mesh.data', 0, '-1 or a whole number from 1 to 1000000'),
    ('images', 'mesh.fsdp', -1, '0 or a whole number from 1 to 1000000'),
    ('images', 'eval.num_prompts', 2**31 - 1, 'from 1 to 1000000'),
    ('images', 'sampler.steps', 2**31 - 1, 'from 1 to 1000000'),
    ('images', 'sampler.solver', 'eular', "Did you mean 'euler'?"),
    ('images', 'sampler.eta', -0.5, 'at least 0'),
    ('images', 'sampler.shift', -1.0, 'at least 0'),
    ('images', 'sampler.guidance_scale', 0.0, 'at least 1'),
    ('images', 'training.guidance_scale', 0.5, 'at least 1'),
    ('images', 'eval.guidance_scales', (1.0, 0.5), 'each a number, at least 1'),
    ('images', 'eval.guidance_scales', (2.0, 2), 'different values'),
    ('images', 'eval.guidance_scales', (), 'a tuple of different values'),
    ('images', 'reward.invalid_limit', 1.5, 'at most 1'),
    ('images', 'reward.normalize.shapes', 'std', "Did you mean 'standard'?"),
    ('images', 'reward.monitor_only', 'shapes', 'a tuple of names'),
    ('images', 'reward.shapes.success_weight', 2.0, 'at most 1'),
    ('images', 'reward.jpeg_compressibility.quality', 96, 'from 1 to 95'),
    ('images', 'reward.remote.timeout', 0.0, 'above 0'),
    ('images', 'method.adrpo.beta0', math.nan, 'above 0'),
    ('images', 'method.adrpo.advantage_clip', 0.0, 'above 0'),
    ('images', 'method.awm.zero_variance', 'pull', "'keep' or 'drop'"),
    ('images', 'method.awm.ema_decay', 1.0, 'below 1'),
    ('images', 'method.nft.old_decay_steps', 0, 'at least 1'),
    ('images', 'method.rwr.temperature', -1.0, 'above 0'),
    ('images', 'method.orw_cfm_w2.tau', 0.0, 'above 0'),
    ('images', 'log.tensorboard', 1, 'True or False'),
    ('images', 'world', 'sort', "'' or 'shapes'"),
    ('texts', 'world', 'shapes', "'sort' or 'sort_or_pass'"),
    ('texts', 'sampler.temperature', -1.0, 'above 0'),
    ('texts', 'sampler.temperature', 0.0, 'above 0'),
    ('texts', 'sampler.top_k', 1, '0 or a whole number, at least 2'),
    ('texts', 'sampler.top_p', 0.0, 'above 0 and at most 1'),
    ('texts', 'eval.temperature', -0.1, 'at least 0'),
    ('texts', 'model.template', 'chats', "Did you mean 'chat'?"),
    ('texts', 'method.adrpo.beta0', math.nan, 'at least 0'),
    ('texts', 'method.adrpo.kl', 'k1', "Take 'ratio_k3', the reverse KL."),
    ('texts', 'method.grpo.clip_low', 1.0, 'above 0 and below 1'),
    ('texts', 'method.grpo.dual_clip', 0.5, '0 or a number above 1'),
    ('texts', 'method.grpo.aggregation', 'mean', "'sample_mean'"),
    ('texts', 'reward.regex_format.pattern', '[', 'a regular expression'),
    ('base of images', 'pretrain.shares.style', -0.1, 'at least 0'),
    ('base of images', 'pretrain.flow.learning_rate', 0.0, 'above 0'),
    ('base of images', 'pretrain.guidance', 0.5, 'at least 1'),
    ('base of texts', 'pretrain.ema_decay', 1.0, 'below 1'),
  ],
)
def test_a_value_out_of_range_is_refused(name, key, value, expected):
  said = refusal(name, {key: value})
  assert f'Expected config.{key} to be ' in said
  assert expected in said


@pytest.mark.parametrize(
  ('name', 'changes'),
  [
    ('images', {'checkpoint.every': 0, 'eval.every': 0}),
    ('images', {'training.warmup_steps': 0, 'seed': 2**31 - 1}),
    ('images', {'reward.weights.shapes': -1.0, 'method.awm.beta': 0.0}),
    ('texts', {'method.grpo.beta': 0.0, 'method.adrpo.clip': 0.0}),
    ('texts', {'eval.temperature': 0.0, 'eval.group_size': 1}),
    ('base of images', {'pretrain.distillation.steps': 0}),
    ('base of images', {'pretrain.flow.save_every': 0}),
    ('images', {'reward.normalize.shapes': {'name': 'fixed', 'scale': 2.0}}),
    # Parameters of own code have no rows.
    ('images', {'method.mine': {'strength': 3, 'mode': 'x'}}),
    ('images', {'reward.mine': {'words': ('a', None)}}),
    ('images', {'reward.weights.mine': 0.5}),
    ('images', {'eval.guidance_scales': (1, 4.5)}),
  ],
)
def test_a_value_at_the_edge_passes(name, changes):
  assert refusal(name, changes) == ''


def test_own_parameters_are_finite():
  said = refusal('images', {'method.mine': {'strength': math.inf}})
  assert 'config.method.mine.strength to be a finite number, got inf' in said
  said = refusal('images', {'reward.weights.mine': math.nan})
  assert 'config.reward.weights.mine to be a number, got nan' in said


@pytest.mark.parametrize(
  'key', ['stepz', 'training.lerning_rate', 'reward.pyhton']
)
def test_a_mistyped_key_of_a_config_file_is_named(key):
  said = refusal('images', {key: 3})
  assert f'Unknown config key {key!r}. Did you mean' in said


@pytest.mark.parametrize(
  ('group', 'key'),
  [
    ('training', 'learning_rate'),
    ('log', 'wandb'),
    ('reward', 'weights'),
    ('reward', 'normalize'),
    ('method', 'name'),
  ],
)
def test_a_key_that_is_missing_is_named(group, key):
  config = module_of('t2i').get_config()
  del config[group][key]
  with pytest.raises(InputError, match=r'the keys of configs/t2i\.py') as error:
    builders.check_config(config)
  assert f'without {group}.{key}' in str(error.value)


def test_a_family_of_another_file_names_its_file():
  said = refusal('images', {'model.family': 'decoder'})
  assert "configs/llm.py, which the family 'decoder' reads" in said
  said = refusal('texts', {'model.family': 'sd3'})
  assert "configs/t2i.py, which the family 'sd3' reads" in said


@pytest.mark.parametrize(
  ('changes', 'expected'),
  [
    ({'pretrain.flow.steps': 0}, 'Expected steps'),
    ({'pretrain.autoencoder.steps': 0}, 'Expected steps'),
    (
      {'model.path': '/a/base', 'pretrain.autoencoder.steps': 0},
      '',
    ),
    (
      {'model.path': '/a/base'}
      | {f'pretrain.{s}.steps': 0 for s in ('flow', 'decoder')},
      'Expected steps',
    ),
    ({'pretrain.shares': {'single': 1.0}}, 'binding'),
    (
      {
        f'pretrain.shares.{category}': 0.0
        for category in ('single', 'binding', 'relation', 'counting', 'style')
        + ('composition',)
      },
      'not all 0',
    ),
  ],
)
def test_stages_that_have_nothing_to_learn(changes, expected):
  said = refusal('base of images', changes)
  assert expected in said
  assert bool(said) == bool(expected)


def test_a_config_is_checked_before_anything_is_built():
  config = module_of('t2i').get_config('debug')
  config.training.noise_draws = 0
  mesh = builders.make_mesh(config)
  with (
    mock.patch('adrpo_jax.builders.run.family_of') as family,
    pytest.raises(InputError, match=r'training\.noise_draws'),
  ):
    builders.build(config, mesh)
  assert not family.called


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    (
      {'method': {'grpo': {'beta': -1.0}}},
      'config.method.grpo.beta to be a nu',
    ),
    ({'training': {'learning_rate': math.nan}}, 'training.learning_rate to be'),
    ({'training': {'lerning_rate': 1.0}}, 'lerning_rate'),
    ({'steps': 'many'}, 'many'),
    (3, 'got 3, which is no dict'),
  ],
)
def test_a_contestant_is_checked_before_any_runs(changes, said):
  config = module_of('llm').get_config('compare')
  config.compare.fine = {'title': 'Fine', 'method': {'name': 'grpo'}}
  builders.check_config(config)
  config.compare.mine = changes
  with pytest.raises(InputError, match=r'config\.compare\.mine') as error:
    builders.check_config(config)
  assert said in str(error.value)


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    ('workers=1.5', 'config.reward.mine.workers to be a whole number'),
    ('batch_size=True', 'config.reward.mine.batch_size to be a whole number'),
    ("normalize='std'", "Did you mean 'standard'?"),
    ('normalize=3', 'config.reward.normalize.mine to be'),
    ("weight='x'", "config.reward.weights.mine to be a number, got 'x'"),
    ('weight=True', 'config.reward.weights.mine to be a number, got True'),
    ('weight=1e999', 'literals, numbers finite'),
    ('strength=-1e999', 'literals, numbers finite'),
    ("strength=-1.0, words=('a',), normalize={'name': 'fixed'}", ''),
  ],
)
def test_arguments_of_an_own_reward_are_checked_as_keys_are(arguments, said):
  told = refusal('images', {'reward.python': f'mine.py:mine({arguments})'})
  assert said in told
  assert bool(said) == bool(told)


def test_arguments_of_an_own_method_are_finite():
  config = small_run.preset_config(
    'debug', {'method.python': 'mine.py:mine(beta0=1e999)'}
  )
  with pytest.raises(InputError, match='literals, numbers finite'):
    builders.make_method(config, METHODS)


@pytest.mark.parametrize(
  ('name', 'key', 'value', 'said'),
  [
    ('images', 'model.family', [], "to be 'world'"),
    ('images', 'model.family', None, "to be 'world'"),
    ('texts', 'reward', 3, 'without reward.python'),
    ('texts', 'reward.python', 2, 'config.reward.python to be text'),
    (
      'texts',
      'reward.sort.workers',
      {'a': 1},
      'config.reward.sort.workers to be',
    ),
    ('texts', 'training.learning_rate', {}, 'to be a number above 0, got {}'),
    (
      'texts',
      'training.learning_rate',
      {'a': 1},
      'without training.learning_ra',
    ),
    ('base of images', 'pretrain', None, 'without pretrain.images'),
    ('base of images', 'pretrain.flow', {}, 'without pretrain.flow.steps'),
  ],
)
def test_a_group_in_place_of_a_value_and_the_other_way_round(
  name, key, value, said
):
  assert said in refusal(name, {key: value})


ANYTHING = [
  *(None, True, False, 0, 1, -1, 2, 3.5, -0.0, 1e-50, 1e39, 2**31, 2**64),
  *(math.nan, math.inf, 1j, np.float32(1), np.int64(3), np.ones(1), object()),
  *(
    '',
    'x',
    'nan',
    '0',
    '\0',
    '\ud800',
    '(',
    'mine.py:f(x=1)',
    'a:b,a:b',
    b'x',
  ),
  *((), ('x',), (1,), [], ['x'], {}, {'a': 1}, {'name': 'fixed'}, {1}, float),
]


@pytest.mark.parametrize('name', TABLES)
def test_any_value_of_any_key_or_group_passes_or_is_refused(name):
  """`refusal` raises for an error of another kind."""
  rng = random.Random(name)
  keys = sorted(keys_of(name))
  for _ in range(200):
    key = rng.choice(keys)
    place = rng.choice([key, key, key.rpartition('.')[0] or key])
    refusal(name, {place: rng.choice(ANYTHING)})
