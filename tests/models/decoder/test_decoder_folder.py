"""Folders of decoders are sharded, saved again, or refused."""

import dataclasses
import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from small_decoders import LLAMA, QWEN2, QWEN3

from adrpo_jax import sharding
from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder

LLAMA3 = {
  'rope_type': 'llama3',
  'factor': 8.0,
  'low_freq_factor': 1.0,
  'high_freq_factor': 4.0,
  'original_max_position_embeddings': 8192,
}


def identity(shapes):
  return shapes


def random_params(config):
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype),
    decoder_folder.param_shapes(Decoder(config)),
  )


def written(folder, config=QWEN2):
  decoder_folder.save(
    folder, decoder_folder.config_fields(config), random_params(config)
  )
  return folder


def changed(folder, **fields):
  path = folder / 'config.json'
  content = json.loads(path.read_text()) | fields
  path.write_text(
    json.dumps({k: v for k, v in content.items() if v != 'absent'})
  )
  return folder


@pytest.mark.parametrize(
  'config', [LLAMA, QWEN2, QWEN3], ids=['llama', 'qwen2', 'qwen3']
)
def test_what_is_saved_is_read(config, tmp_path):
  model = decoder_folder.read(written(tmp_path, config))
  assert model.config == config
  params = decoder_folder.load(model, jnp.float32, identity)
  jax.tree.map(np.testing.assert_array_equal, params, random_params(config))


def test_both_spellings_mean_the_same(tmp_path):
  old = decoder_folder.read(written(tmp_path))
  assert old.fields['torch_dtype'] == 'float32'
  rope = {'rope_type': 'default', 'rope_theta': 5e5}
  changed(
    tmp_path, rope_theta='absent', rope_parameters=rope, head_dim='absent'
  )
  assert decoder_folder.read(tmp_path).config == dataclasses.replace(
    QWEN2, rope_theta=5e5
  )
  changed(tmp_path, rope_parameters='absent', rope_theta=500000)
  assert decoder_folder.read(tmp_path).config.rope_theta == 5e5


def test_what_a_config_says_besides_is_kept(tmp_path):
  folder = changed(
    written(tmp_path / 'a'), torch_dtype='absent', dtype='float32'
  )
  model = decoder_folder.read(changed(folder, eos_token_id=[7, 8]))
  half = decoder_folder.load(model, jnp.bfloat16, identity)
  decoder_folder.save(tmp_path / 'b', model.fields, half)
  again = decoder_folder.read(tmp_path / 'b')
  assert again.fields == {**model.fields, 'dtype': 'bfloat16'}
  params = decoder_folder.load(again, jnp.bfloat16, identity)
  jax.tree.map(np.testing.assert_array_equal, params, half)


def test_a_sharded_set_goes_into_shards(tmp_path):
  folder = written(tmp_path, QWEN3)
  tensors = load_file(folder / 'model.safetensors')
  content = {
    name: f'model-{i % 2}.safetensors' for i, name in enumerate(tensors)
  }
  for file in set(content.values()):
    part = {n: t for n, t in tensors.items() if content[n] == file}
    save_file(part, folder / file)
  index = json.dumps({'weight_map': content})
  (folder / 'model.safetensors.index.json').write_text(index)
  (folder / 'model.safetensors').unlink()
  mesh = sharding.make_mesh(data=1, fsdp=4, tensor=2)

  def place(shapes):
    return sharding.abstract(shapes, sharding.tree_shardings(shapes, mesh))

  params = decoder_folder.load(decoder_folder.read(folder), jnp.float32, place)
  jax.tree.map(np.testing.assert_array_equal, params, random_params(QWEN3))
  table = params['params']['output_embedding']
  assert table.addressable_shards[0].data.shape == (20, 4)
  kernel = params['params']['layers_0']['down_proj']['dense']['kernel']
  assert kernel.addressable_shards[0].data.shape == (2, 12, 4)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'model_type': 'gemma2'}, "'llama', 'qwen2' or 'qwen3' .* got 'gemma2'"),
    ({'model_type': 'mistral'}, 'SmolLM2.*Gemma and Mistral, are not'),
    ({'model_type': 'llama', 'attention_bias': True}, 'attention_bias = False'),
    ({'model_type': 'llama', 'mlp_bias': True}, 'mlp_bias = False'),
    ({'model_type': 'qwen3_moe'}, "got 'qwen3_moe'"),
    ({'model_type': ['llama']}, r"got \['llama'\]"),
    ({'use_sliding_window': True}, 'use_sliding_window = False'),
    (
      {'layer_types': ['full_attention', 'sliding_attention']},
      r"layer_types .* 'sliding_attention'\]",
    ),
    (
      {'rope_scaling': {'type': 'yarn', 'factor': 4.0}},
      "rope_scaling of the type 'default' or 'llama3' .*'yarn'",
    ),
    (
      {'rope_parameters': {'rope_type': 'linear', 'rope_theta': 1e4}},
      "rope_parameters of the type 'default' or 'llama3' .*'linear'",
    ),
    (
      {'rope_scaling': {'rope_type': 'dynamic', 'factor': 2.0}},
      "'default' or 'llama3' .*'dynamic'",
    ),
    (
      {'rope_scaling': {'rope_type': 'llama3', 'factor': 8.0}},
      r"the fields \['high_freq_factor', 'low_freq_factor', 'original_max_",
    ),
    (
      {'rope_scaling': LLAMA3 | {'factor': 'eight'}},
      "factor .* a number from .* got 'eight'",
    ),
    (
      {'rope_scaling': LLAMA3 | {'high_freq_factor': 1.0}},
      'high_freq_factor to be larger than low_freq_factor, got 1.0 and 1.0',
    ),
    (
      {'rope_parameters': {'rope_theta': 1e4, 'partial_rotary_factor': 0.5}},
      'partial rotation',
    ),
    ({'rope_parameters': [1]}, 'an object as rope_parameters'),
    ({'rope_theta': 'absent'}, 'rope_theta .* a number from 1 .* got None'),
    ({'hidden_act': 'gelu'}, "hidden_act = 'silu'"),
    ({'hidden_size': None}, r"the fields \['hidden_size'\]"),
    ({'vocab_size': '40'}, "vocab_size .* got '40'"),
    ({'num_key_value_heads': 3}, 'a multiple of num_key_value_heads'),
    ({'model_type': 'qwen3', 'attention_bias': True}, 'attention_bias = False'),
    ({'layer_types': {'a': 1}}, "a list of 'full_attention'"),
    ({'layer_types': [['full_attention']]}, "a list of 'full_attention'"),
    ({'layer_types': 5}, "a list of 'full_attention' .* got 5"),
    ({'num_hidden_layers': 0}, 'from 1 to 1024, got 0'),
    ({'num_hidden_layers': 10**9}, 'from 1 to 1024, got 1000000000'),
    ({'num_hidden_layers': True}, 'a whole number .* got True'),
    ({'hidden_size': -16}, 'from 1 to .* got -16'),
    ({'hidden_size': 16.0}, r'a whole number .* got 16\.0'),
    ({'hidden_size': '16', 'head_dim': None}, "hidden_size .* got '16'"),
    ({'num_attention_heads': 0, 'head_dim': None}, 'heads .* got 0'),
    ({'head_dim': 3}, 'head_dim to be a multiple .* got 3 and 2'),
    ({'rms_norm_eps': float('inf')}, 'rms_norm_eps .* got inf'),
    ({'rms_norm_eps': float('nan')}, 'rms_norm_eps .* got nan'),
    ({'rms_norm_eps': 0}, 'rms_norm_eps .* got 0'),
    ({'rms_norm_eps': 10**400}, 'rms_norm_eps .* got 1000'),
    ({'rope_theta': 0}, 'rope_theta .* from 1 .* got 0'),
    ({'rope_theta': True}, 'rope_theta .* got True'),
    ({'rope_theta': '1e4'}, "rope_theta .* got '1e4'"),
    ({'rope_parameters': {'rope_theta': [1]}}, r'rope_theta .* got \[1\]'),
    ({'tie_word_embeddings': 'false'}, "true or false, got 'false'"),
    ({'max_position_embeddings': '9'}, "max_position_embeddings .* got '9'"),
    ({'max_position_embeddings': 0}, 'max_position_embeddings .* got 0'),
    ({'vocab_size': json.loads('[' * 400 + ']' * 400)}, r'got \[\[\[.*\.\.\.'),
    ({'quantization_config': {'quant_method': 'gptq', 'bits': 4}}, "'gptq'"),
    ({'quantization_config': {'quant_method': 'awq'}}, 'model is quantized'),
    ({'quantization_config': {'load_in_4bit': True}}, 'the plain release'),
    ({'quantization_config': {'quant_method': 'fp8'}}, 'the plain release'),
    ({'compression_config': {'format': 'pack'}}, 'the plain release'),
  ],
)
def test_another_model_is_refused(fields, message, tmp_path):
  folder = changed(written(tmp_path), **fields)
  with pytest.raises(InputError, match=message):
    decoder_folder.read(folder)


def test_a_folder_without_weights_or_config(tmp_path):
  with pytest.raises(InputError, match=r'the config .*config\.json'):
    decoder_folder.read(tmp_path)
  folder = written(tmp_path)
  (folder / 'model.safetensors').unlink()
  with pytest.raises(InputError, match=r'Expected model\.safetensors, or'):
    decoder_folder.load(decoder_folder.read(folder), jnp.float32, identity)


def test_a_tensor_is_missing_or_left_over(tmp_path):
  folder = written(tmp_path)
  tensors = load_file(folder / 'model.safetensors')
  missing = 'model.layers.1.mlp.up_proj.weight'
  extra = {n: t for n, t in tensors.items() if n != missing}
  save_file(
    extra | {'visual.x': tensors[missing]}, folder / 'model.safetensors'
  )
  with pytest.raises(InputError) as raised:
    decoder_folder.load(decoder_folder.read(folder), jnp.float32, identity)
  assert f'Missing:\n  {missing}' in str(raised.value)
  assert 'Not expected:\n  visual.x' in str(raised.value)


def with_head(folder, change):
  """The weights of a folder with an lm_head made of its embedding."""
  tensors = load_file(folder / 'model.safetensors')
  head = change(tensors['model.embed_tokens.weight'])
  save_file(tensors | {'lm_head.weight': head}, folder / 'model.safetensors')
  return folder


def test_a_tied_table_that_is_stored_twice_is_read_once(tmp_path):
  folder = with_head(written(tmp_path), lambda table: table)
  params = decoder_folder.load(
    decoder_folder.read(folder), jnp.float32, identity
  )
  assert 'output_embedding' not in params['params']
  changed(folder, tie_word_embeddings=False)
  params = decoder_folder.load(
    decoder_folder.read(folder), jnp.float32, identity
  )
  assert params['params']['output_embedding'].shape == (40, 16)


def test_a_head_of_other_numbers_is_used_though_the_config_ties(
  tmp_path, caplog
):
  """So does transformers 5, of which tests/parity makes sure."""

  def last_number(table):
    changed = table.copy()
    changed[-1, -1] += 1
    return changed

  folder = with_head(written(tmp_path / 'a'), last_number)
  with caplog.at_level(logging.WARNING):
    model = decoder_folder.read(folder)
  assert 'lm_head.weight that is not the embedding' in caplog.text
  assert not model.config.tie_word_embeddings
  params = decoder_folder.load(model, jnp.float32, identity)
  head = load_file(folder / 'model.safetensors')['lm_head.weight']
  np.testing.assert_array_equal(params['params']['output_embedding'], head)
  decoder_folder.save(tmp_path / 'b', model.fields, params)
  assert decoder_folder.read(tmp_path / 'b').config == model.config


def test_a_copy_of_the_embedding_in_another_dtype_is_tied(tmp_path):
  file = written(tmp_path) / 'model.safetensors'
  tensors = load_file(file)
  half = tensors['model.embed_tokens.weight'].astype(np.float16)
  tensors['model.embed_tokens.weight'] = half.astype(np.float32)
  save_file(tensors | {'lm_head.weight': half}, file)
  assert decoder_folder.read(tmp_path).config.tie_word_embeddings


def test_a_head_that_is_not_finite_is_named(tmp_path):
  folder = with_head(written(tmp_path), lambda table: table * np.nan)
  with pytest.raises(InputError, match=r'of lm_head\.weight are NaN'):
    decoder_folder.read(folder)


def test_a_head_of_another_shape_is_refused(tmp_path):
  folder = with_head(written(tmp_path), lambda table: table[:30])
  with pytest.raises(InputError, match=r'lm_head.weight: expected .*40, 16'):
    decoder_folder.load(decoder_folder.read(folder), jnp.float32, identity)


def test_the_longest_text_is_that_of_the_config_or_of_transformers(tmp_path):
  assert decoder_folder.read(written(tmp_path)).longest == 32768
  changed(tmp_path, max_position_embeddings=512)
  assert decoder_folder.read(tmp_path).longest == 512


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(value, tmp_path):
  file = written(tmp_path) / 'model.safetensors'
  tensors = load_file(file)
  tensors['model.layers.1.mlp.up_proj.weight'][3, 5] = value
  save_file(tensors, file)
  with pytest.raises(
    InputError, match=r'1 of the .* of model\.layers\.1\.mlp\.up_proj'
  ):
    decoder_folder.load(decoder_folder.read(tmp_path), jnp.float32, identity)


def test_a_file_that_is_cut_short(tmp_path):
  file = written(tmp_path) / 'model.safetensors'
  file.write_bytes(file.read_bytes()[:-100])
  with pytest.raises(InputError, match='cut short or damaged'):
    decoder_folder.load(decoder_folder.read(tmp_path), jnp.float32, identity)


def test_a_language_model_is_no_scorer(tmp_path):
  with pytest.raises(InputError, match=r'Missing:\n +score\.weight'):
    decoder_folder.load_scorer(
      decoder_folder.read(written(tmp_path)), jnp.float32, identity
    )


def test_biases_and_norms_that_no_decoder_has_together():
  both = dataclasses.replace(QWEN2, qk_norm=True)
  with pytest.raises(InputError, match='attention_bias without qk_norm'):
    decoder_folder.config_fields(both)
