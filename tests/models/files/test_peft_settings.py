"""The settings of an adapter mean what they mean in PEFT."""

import json
import os

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from adrpo_jax.errors import InputError
from adrpo_jax.models.files import hub, lora_files
from adrpo_jax.models.files.peft_settings import read_settings
from adrpo_jax.models.files.weight_table import linear

ROWS = linear(r'blocks_(?P<first>\d+)/(?P<name>\w+)', 'layers.{layer}.{name}')
GATE, UP = 'model.layers.1.mlp.gate_proj', 'model.layers.1.mlp.up_proj'


def settings_of(tmp_path, **fields):
  return read_settings({'r': 4, 'lora_alpha': 32} | fields, tmp_path)


@pytest.mark.parametrize(
  ('fields', 'gate', 'up'),
  [
    ({}, 8, 8),
    ({'alpha_pattern': {'gate|up_proj': 4}}, 8, 1),
    ({'alpha_pattern': {'gate_proj|up_proj': 4}}, 1, 1),
    ({'alpha_pattern': {'mlp.gate': 4}}, 8, 8),
    ({'alpha_pattern': {'gate_proj': 4, 'mlp.*': 8}}, 1, 2),
    ({'alpha_pattern': {r'.*\.1\..*': 8}}, 2, 2),
    ({'alpha_pattern': {'ate_proj': 4}}, 8, 8),
    ({'use_rslora': True}, 16, 16),
    ({'lora_alpha': None, 'r': 4}, None, None),
  ],
)
def test_strengths_by_hand(fields, gate, up, tmp_path):
  if gate is None:
    with pytest.raises(InputError, match='Expected lora_alpha'):
      settings_of(tmp_path, **fields)
    return
  settings = settings_of(tmp_path, **fields)
  assert settings.strength(GATE, 4) == gate
  assert settings.strength(UP, 4) == up


def test_a_file_without_settings_has_a_strength_of_one(tmp_path):
  settings = read_settings(None, tmp_path)
  assert settings.strength(GATE, 5) == 1
  assert settings.adapts(GATE)


def test_a_rank_other_than_that_of_the_file(tmp_path):
  settings = settings_of(tmp_path, rank_pattern={'up_proj': 2})
  assert settings.strength(UP, 2) == 16
  with pytest.raises(InputError, match=r'up_proj of rank 2, .* of rank 4'):
    settings.strength(UP, 4)


@pytest.mark.parametrize(
  ('fields', 'gate', 'up'),
  [
    ({'target_modules': ['up_proj']}, False, True),
    ({'target_modules': ['proj']}, False, False),
    ({'target_modules': r'.*\.(gate|up)_proj'}, True, True),
    ({'target_modules': 'up_proj'}, False, False),  # a pattern of whole names
    ({'target_modules': 'all-linear'}, True, True),
    ({'exclude_modules': ['mlp.gate_proj']}, False, True),
    ({'exclude_modules': r'.*up_proj'}, True, False),
    (
      {'target_modules': ['up_proj', GATE], 'layers_to_transform': [0]},
      True,
      False,
    ),
    (
      {
        'target_modules': ['up_proj'],
        'layers_to_transform': 1,
        'layers_pattern': 'layers',
      },
      False,
      True,
    ),
  ],
)
def test_modules_by_hand(fields, gate, up, tmp_path):
  settings = settings_of(tmp_path, **fields)
  assert (settings.adapts(GATE), settings.adapts(UP)) == (gate, up)


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('peft_type', 'LOHA'),
    ('use_dora', True),
    ('bias', 'all'),
    ('modules_to_save', ['lm_head']),
    ('init_lora_weights', 'pissa'),
    ('alora_invocation_tokens', [1, 2]),
    ('layer_replication', [[0, 4]]),
    ('alpha_pattern', {'(': 1}),
    ('alpha_pattern', {'up_proj': 'one'}),
    ('alpha_pattern', ['up_proj']),
    ('rank_pattern', {'up_proj': 0}),
    ('target_modules', '('),
    ('target_modules', 3),
    ('target_modules', 'a{99999999999}'),
    ('layers_to_transform', 'all'),
    ('layers_to_transform', [0, '1']),
    ('layers_to_transform', {'0': 1}),
    ('layers_pattern', 5),
    ('layers_pattern', ['layers', 5]),
    ('layers_pattern', ['(']),
    ('r', 0),
    ('lora_alpha', 'eight'),
  ],
)
def test_what_is_not_plain_lora_is_refused(name, value, tmp_path):
  with pytest.raises(InputError, match=name):
    settings_of(tmp_path, **{name: value})


def adapter(folder, config):
  up, down = np.ones((4, 2), np.float32), np.ones((2, 3), np.float32)
  tensors = {}
  for name in ('gate_proj', 'up_proj'):
    module = f'base_model.model.layers.0.{name}'
    tensors |= {f'{module}.lora_A.weight': down, f'{module}.lora_B.weight': up}
  folder.mkdir()
  save_file(tensors, folder / 'adapter_model.safetensors')
  (folder / 'adapter_config.json').write_text(json.dumps(config))
  return folder


def base(*names):
  kernel = {'dense': {'kernel': jnp.zeros((1, 3, 4))}}
  return {'blocks_0': dict.fromkeys(names, kernel)}


def test_a_folder_is_read_by_its_settings(tmp_path, caplog):
  config = {'r': 2, 'lora_alpha': 16, 'target_modules': ['gate_proj']}
  config['alpha_pattern'] = {'gate|up_proj': 2}
  read = lora_files.load(
    adapter(tmp_path / 'a', config), ROWS, base('gate_proj', 'up_proj')
  )
  (name,) = read
  assert name == 'blocks_0/gate_proj/dense/kernel'
  np.testing.assert_array_equal(read[name]['b'], np.full((1, 2, 4), 8.0))
  assert 'layers.0.up_proj' in caplog.text


@pytest.mark.parametrize('text', ['[1]', '{', '"r"'])
def test_a_header_that_is_no_object(text, tmp_path):
  path = tmp_path / lora_files.FILE
  arrays = {'layers.0.q.lora_A.weight': np.ones((2, 3), np.float32)}
  arrays['layers.0.q.lora_B.weight'] = np.ones((4, 2), np.float32)
  save_file(arrays, path, {'lora_adapter_metadata': text})
  with pytest.raises(InputError, match='lora_adapter_metadata'):
    lora_files.load(path, ROWS, base('q'))


def test_a_base_is_written_by_a_name_that_lasts(tmp_path, monkeypatch):
  (tmp_path / 'models' / 'qwen').mkdir(parents=True)
  monkeypatch.chdir(tmp_path)
  where = os.path.join(tmp_path, 'models', 'qwen')
  for source in ('models/qwen', './models/qwen', f'{where}/', where):
    folder = hub.local_folder(source, ())
    assert hub.lasting_name(source, folder) == (where, None)
  copy = tmp_path / 'copy'
  assert hub.lasting_name('gs://bucket/qwen', copy) == (str(copy), None)
  assert hub.lasting_name('', copy) == (str(copy), None)
  name = 'Qwen/Qwen3-0.6B'
  assert hub.lasting_name(name, copy) == (name, None)
  assert hub.lasting_name(f'{name}@v1.0', copy) == (name, 'v1.0')
  pair = {'a': np.ones((1, 3, 2)), 'b': np.ones((1, 2, 4))}
  lora_files.save_peft(
    tmp_path / 'out',
    ROWS,
    {'blocks_0/q/dense/kernel': pair},
    2.0,
    *hub.lasting_name(f'{name}@v1.0', copy),
  )
  written = json.loads((tmp_path / 'out' / 'adapter_config.json').read_text())
  assert written['base_model_name_or_path'] == 'Qwen/Qwen3-0.6B'
  assert written['revision'] == 'v1.0'
