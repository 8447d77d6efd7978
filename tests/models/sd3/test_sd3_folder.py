"""Folders of Stable Diffusion 3 are sharded, cropped, or refused."""

from functools import partial
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from adrpo_jax import sharding
from adrpo_jax.errors import InputError
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.files import config_files
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.files.tokenizers import padding_tokenizer
from adrpo_jax.models.sd3 import folder as sd3_folder
from adrpo_jax.models.sd3 import text_conditions
from adrpo_jax.models.sd3.export import POSITIONS
from adrpo_jax.models.sd3.mmdit import MMDiT
from adrpo_jax.models.sd3.t5 import MAX_DISTANCE, T5Config
from adrpo_jax.models.tiny import sd3 as sd3_tiny


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  return sd3_tiny.write(tmp_path_factory.mktemp('sd3'))


@pytest.fixture
def folder(written, tmp_path):
  """A copy that a test may damage; its weights are links."""
  for file in written.rglob('*.*'):
    copy = tmp_path / file.relative_to(written)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(file.read_bytes())
  return tmp_path


def identity(shapes):
  return shapes


def on(mesh):
  def place(shapes):
    return sharding.abstract(shapes, sharding.tree_shardings(shapes, mesh))

  return place


def test_configs_are_those_that_were_written(written):
  model = sd3_folder.read(written)
  assert model.transformer == sd3_tiny.TRANSFORMER
  assert model.autoencoder == sd3_tiny.AUTOENCODER
  assert model.shift == 3.0


def test_sharded_in_bfloat16_is_the_whole_rounded(written):
  model, mesh = sd3_folder.read(written), sharding.make_mesh(1, 4, 2)
  full = sd3_folder.load_transformer(model, (8, 6), jnp.float32, identity)
  split = sd3_folder.load_transformer(model, (8, 6), jnp.bfloat16, on(mesh))
  kernel = split['params']['blocks_0']['to_q']['dense']['kernel']
  assert kernel.addressable_shards[0].data.shape == (2, 8, 16)
  for a, b in zip(*map(jax.tree.leaves, (full, split)), strict=True):
    np.testing.assert_array_equal(a.astype(b.dtype), b)
  table = split['constants']['position_table']
  assert table.dtype == jnp.float32


def test_the_position_table_is_the_middle_of_the_stored_one(written):
  """12 × 12 patches in the file; 4 × 3 of them from row 4 and column 4."""
  with tensor_files(written / 'transformer') as files:
    stored = files.read(POSITIONS)[0].reshape(12, 12, 32)
  tree = sd3_folder.load_transformer(
    sd3_folder.read(written), (8, 6), jnp.float32, identity
  )
  table = tree['constants']['position_table']
  np.testing.assert_array_equal(table, stored[4:8, 4:7].reshape(12, 32))


def test_the_stored_table_is_used_and_not_the_formula(written):
  model = sd3_folder.read(written)
  tree = sd3_folder.load_transformer(model, (8, 8), jnp.float32, identity)
  x = jax.random.normal(jax.random.key(0), (1, 8, 8, 16))
  condition = Condition(jnp.ones((1, 3, 48)), jnp.ones((1, 32)))
  apply = jax.jit(MMDiT(model.transformer).apply)
  v = apply(tree, x, jnp.ones(1), condition)
  changed = tree | {
    'constants': jax.tree.map(lambda table: table[::-1], tree['constants'])
  }
  assert np.abs(apply(changed, x, jnp.ones(1), condition) - v).max() > 1e-3
  with pytest.raises(ValueError, match='as many patches as the position'):
    apply(tree, x[:, :6], jnp.ones(1), condition)


def changed(path, **fields):
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_too_large_an_image(written):
  with pytest.raises(InputError, match=r'at most 12 patches .* got 13 × 4'):
    sd3_folder.load_transformer(
      sd3_folder.read(written), (26, 8), jnp.float32, identity
    )


@pytest.mark.parametrize(
  ('file', 'fields', 'message'),
  [
    ('model_index.json', {'_class_name': 'FluxPipeline'}, 'got FluxPipeline'),
    ('transformer/config.json', {'qk_norm': 'layer_norm'}, "'rms_norm' or"),
    ('transformer/config.json', {'qk_norm': [None]}, r"'rms_norm' or"),
    ('transformer/config.json', {'qk_norm': ['rms_norm']}, r"'rms_norm' or"),
    ('transformer/config.json', {'_class_name': 'UNet'}, "got 'UNet'"),
    ('transformer/config.json', {'out_channels': 4}, 'out_channels = 16'),
    ('transformer/config.json', {'num_layers': None}, r"\['num_layers'\]"),
    ('vae/config.json', {'use_quant_conv': True}, 'use_quant_conv = False'),
    (
      'scheduler/scheduler_config.json',
      {'use_dynamic_shifting': True},
      'use_dynamic_shifting = False',
    ),
    (
      'scheduler/scheduler_config.json',
      {'shift': None},
      'shift in .* got None',
    ),
    ('transformer/config.json', {'num_layers': '3'}, "num_layers .* got '3'"),
    ('transformer/config.json', {'dual_attention_layers': 3}, 'got 3'),
    ('vae/config.json', {'block_out_channels': None}, 'block_out_channels'),
    ('vae/config.json', {'block_out_channels': [8.5]}, r'got \[8\.5\]'),
    ('vae/config.json', {'block_out_channels': []}, 'of 1 to 8 items'),
    ('vae/config.json', {'block_out_channels': [8] * 40}, 'of 1 to 8 items'),
    (
      'vae/config.json',
      {'norm_num_groups': 3},
      'a multiple of norm_num_groups',
    ),
    ('vae/config.json', {'scaling_factor': 0}, 'scaling_factor .* got 0'),
    ('transformer/config.json', {'num_layers': 0}, 'from 1 to 1024, got 0'),
    ('transformer/config.json', {'patch_size': 10**6}, 'from 1 to 64'),
    (
      'transformer/config.json',
      {'quantization_config': {'quant_method': 'bitsandbytes'}},
      "'bitsandbytes'.* the plain release",
    ),
  ],
)
def test_another_model_is_refused(folder, file, fields, message):
  changed(folder / file, **fields)
  with pytest.raises(InputError, match=message):
    sd3_folder.read(folder)


def test_no_folder_and_no_json(folder):
  with pytest.raises(InputError, match=r'the config .*model_index\.json'):
    sd3_folder.read(folder / 'transformer')
  (folder / 'vae' / 'config.json').write_text('{')
  with pytest.raises(InputError, match=r'Expected JSON in .*vae'):
    sd3_folder.read(folder)


def test_a_file_where_a_folder_should_be(folder):
  with pytest.raises(InputError, match='Expected the config'):
    sd3_folder.read(folder / 'model_index.json')


def test_a_t5_config_from_before_its_field_of_distances(written):
  path = written / 'text_encoder_3' / 'config.json'
  fields = config_files.read_config(path)
  del fields['relative_attention_max_distance']
  path.write_text(json.dumps(fields))
  (_,) = conditions(written, ['a fox'])
  defaults = {'relative_attention_max_distance': MAX_DISTANCE}
  read = config_files.config_from_fields(T5Config, fields, path, defaults)
  assert read == sd3_tiny.T5


@pytest.mark.parametrize(
  ('tower', 'fields', 'said'),
  [
    ('text_encoder', {'hidden_act': 'relu'}, "quick_gelu or gelu, got 'relu'"),
    (
      'text_encoder',
      {'num_attention_heads': 0},
      'num_attention_heads .* got 0',
    ),
    (
      'text_encoder_2',
      {'max_position_embeddings': 50},
      'at least 77, .* got 50',
    ),
    ('text_encoder_3', {'num_layers': '2'}, "num_layers .* got '2'"),
    (
      'text_encoder_3',
      {'relative_attention_max_distance': 8},
      'above 8, a quarter .* got 8',
    ),
  ],
  ids=str,
)
def test_another_text_encoder_is_refused(tower, fields, said, folder):
  changed(folder / tower / 'config.json', **fields)
  make = {
    'text_encoder': partial(text_conditions.clip_tower, folder, ''),
    'text_encoder_2': partial(text_conditions.clip_tower, folder, '_2'),
    'text_encoder_3': partial(text_conditions.t5_tower, folder, 6),
  }[tower]
  with pytest.raises(InputError, match=said):
    make(Compute(), identity)


def test_a_tokenizer_of_more_tokens_than_its_encoder_is_refused(written):
  tokens = padding_tokenizer(written / 'tokenizer', 8, 513)
  with pytest.raises(InputError, match=r'ids below 513.* got 513'):
    tokens(['a fox'])


def test_a_position_table_of_integers(folder):
  file = folder / 'transformer' / 'diffusion_pytorch_model.safetensors'
  tensors = load_file(file)
  tensors[POSITIONS] = tensors[POSITIONS].astype(np.int32)
  save_file(tensors, file)
  with pytest.raises(InputError, match=r'Expected floats .* got I32'):
    sd3_folder.load_transformer(
      sd3_folder.read(folder), (8, 8), jnp.float32, identity
    )


def test_a_config_that_is_not_that_of_the_weights(folder):
  changed(folder / 'transformer' / 'config.json', num_layers=4)
  with pytest.raises(InputError, match=r'Missing:\n +transformer_blocks\.2\.'):
    sd3_folder.load_transformer(
      sd3_folder.read(folder), (8, 8), jnp.float32, identity
    )


def test_a_position_table_of_another_size(folder):
  changed(folder / 'transformer' / 'config.json', pos_embed_max_size=10)
  with pytest.raises(InputError, match=r'\[1, 100, 32\].* got \[1, 144, 32\]'):
    sd3_folder.load_transformer(
      sd3_folder.read(folder), (8, 8), jnp.float32, identity
    )


def conditions(folder, texts, **changes):
  settings = {
    'width': 48,
    't5_length': 6,
    'compute': Compute(dtype=jnp.bfloat16),
    'with_shardings': identity,
    'batch': 2,
  }
  message = text_conditions.encode_prompts(folder, texts, **settings | changes)
  return [condition for _, condition in message]


def test_conditions_do_not_depend_on_the_batch_or_the_mesh(written):
  texts = ['a fox', 'an owl on a hill', 'a hare']
  float32 = {'compute': Compute(dtype=jnp.float32)}
  alone = conditions(written, texts, batch=1, **float32)
  sharded = on(sharding.make_mesh(1, 4, 2))
  split = conditions(written, texts, batch=3, with_shardings=sharded, **float32)
  for one, other in zip(alone, split, strict=True):
    assert one.states.shape == (77 + 6, 48)
    assert not one.states[:77, 32:].any()  # CLIP's channels, then zeros
    for a, b in zip(one, other, strict=True):
      np.testing.assert_allclose(a, b, atol=2e-5)


def test_bfloat16_conditions_round_no_more_on_a_mesh(written):
  """XLA may round the parts of a sum that is split over devices.

  With jax 0.12 on the CPU it does: two results are then 0.066 apart, each up
  to 0.08 from the float32 one. So both are held against float32.
  """
  texts = ['a fox', 'an owl on a hill', 'a hare']
  exact = conditions(written, texts, compute=Compute(dtype=jnp.float32))
  sharded = on(sharding.make_mesh(1, 4, 2))
  for rounded in (
    conditions(written, texts, batch=1),
    conditions(written, texts, batch=3, with_shardings=sharded),
  ):
    for one, other in zip(rounded, exact, strict=True):
      assert one.states.dtype == jnp.bfloat16
      for a, b in zip(one, other, strict=True):
        error = a.astype(np.float32) - b
        assert np.sqrt(np.mean(error**2)) < 0.01 * np.abs(b).max()


@pytest.mark.slow
def test_a_prompt_that_is_cut_is_told_of(written, caplog):
  (full,) = conditions(written, ['a b c d e f'], t5_length=40)
  assert not caplog.text
  (cut,) = conditions(written, ['a b c d e f'])
  assert '1 of 1 prompts are longer than 6 tokens' in caplog.text
  np.testing.assert_array_equal(
    cut.pooled.astype(np.float32), full.pooled.astype(np.float32)
  )


def test_a_tokenizer_that_is_missing(folder):
  for file in (folder / 'tokenizer_2').iterdir():
    file.unlink()
  with pytest.raises(InputError, match=r'a tokenizer in .*tokenizer_2'):
    conditions(folder, ['a fox'])


def test_a_t5_of_the_first_version(folder):
  changed(folder / 'text_encoder_3' / 'config.json', feed_forward_proj='relu')
  with pytest.raises(InputError, match="feed_forward_proj = 'gated-gelu'"):
    sd3_folder.read(folder)
