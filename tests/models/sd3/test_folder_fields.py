"""Fields of an SD3 folder are obeyed, or refused by file and name."""

import json

import jax
import pytest
import small_run

from adrpo_jax import sharding
from adrpo_jax.builders.generators import flow, sd3
from adrpo_jax.errors import InputError
from adrpo_jax.models.sd3 import folder as sd3_folder
from adrpo_jax.models.sd3 import folder_fields, text_conditions
from adrpo_jax.models.tiny import sd3 as sd3_tiny
from adrpo_jax.sampling import noise_levels

SCHEDULER = 'scheduler/scheduler_config.json'
VAE = 'vae/config.json'
CLIP = 'text_encoder/config.json'
T5 = 'text_encoder_3/config.json'


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  return sd3_tiny.write(tmp_path_factory.mktemp('sd3'))


@pytest.fixture
def folder(written, tmp_path):
  """The configs of a folder, which a test may change."""
  for file in (*written.rglob('*.json'), *written.rglob('*.txt')):
    copy = tmp_path / file.relative_to(written)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(file.read_bytes())
  return tmp_path


def changed(path, **fields):
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def read(folder):
  model = sd3_folder.read(folder)
  text_conditions.check_towers(folder, model.transformer)
  return model


@pytest.mark.parametrize(
  ('file', 'name', 'value'),
  [
    (SCHEDULER, 'use_karras_sigmas', True),
    (SCHEDULER, 'use_exponential_sigmas', True),
    (SCHEDULER, 'use_beta_sigmas', True),
    (SCHEDULER, 'invert_sigmas', True),
    (SCHEDULER, 'shift_terminal', 0.1),
    (SCHEDULER, 'stochastic_sampling', True),
    (SCHEDULER, 'use_dynamic_shifting', True),
    (SCHEDULER, 'num_train_timesteps', 500),
    (SCHEDULER, '_class_name', 'FlowMatchHeunDiscreteScheduler'),
    (SCHEDULER, 'shift', 0),
    (SCHEDULER, 'shift', -3.0),
    (SCHEDULER, 'shift', 'three'),
    (SCHEDULER, 'shift', True),
    (VAE, 'act_fn', 'gelu'),
    (VAE, 'down_block_types', ['DownEncoderBlock2D', 'AttnDownEncoderBlock2D']),
    (VAE, 'up_block_types', ['AttnUpDecoderBlock2D'] * 4),
    (VAE, 'mid_block_add_attention', False),
    (VAE, 'use_post_quant_conv', True),
    (VAE, 'latent_channels', 4),
    (VAE, 'out_channels', 4),
    (CLIP, 'hidden_act', 'relu'),
    (CLIP, 'hidden_act', None),
    (CLIP, 'max_position_embeddings', 32),
    (CLIP, 'hidden_size', 48),
    (CLIP, 'projection_dim', 8),
    ('text_encoder_2/config.json', 'hidden_act', 'gelu_fast'),
    (T5, 'feed_forward_proj', 'gated-silu'),
    (T5, 'dense_act_fn', 'relu'),
    (T5, 'is_gated_act', False),
    (T5, 'd_model', 40),
    ('tokenizer/tokenizer_config.json', 'model_max_length', 64),
    ('model_index.json', 'vae', ['diffusers', 'AutoencoderTiny']),
    ('model_index.json', 'text_encoder', ['transformers', 'CLIPTextModel']),
    ('model_index.json', 'text_encoder_2', [None, None]),
    ('model_index.json', 'scheduler', 7),
  ],
)
def test_what_is_computed_otherwise_is_refused(folder, file, name, value):
  read(folder)
  changed(folder / file, **{name: value})
  with pytest.raises(InputError) as error:
    read(folder)
  assert file.partition('/')[0] in str(error.value)
  assert name in str(error.value)


@pytest.mark.parametrize(
  ('file', 'fields'),
  [
    (VAE, {'act_fn': 'swish', 'use_quant_conv': None}),
    (SCHEDULER, {'use_karras_sigmas': None, 'shift_terminal': None}),
    (SCHEDULER, {'base_shift': 0.7, 'time_shift_type': 'linear'}),
    ('transformer/config.json', {'out_channels': None}),
    ('model_index.json', {'image_encoder': [None, None]}),
  ],
)
def test_what_means_the_same_is_taken(folder, file, fields):
  before = read(folder)
  changed(folder / file, **fields)
  assert read(folder) == before


def test_a_t5_without_its_activation_is_that_of_the_first_version(folder):
  path = folder / T5
  fields = json.loads(path.read_text())
  del fields['feed_forward_proj']
  path.write_text(json.dumps(fields))
  with pytest.raises(InputError, match=r"'gated-gelu'.*'relu'"):
    read(folder)


def test_a_t5_is_read_if_the_index_names_one(folder):
  assert folder_fields.has_t5(folder)
  changed(folder / 'model_index.json', text_encoder_3=[None, None])
  assert not folder_fields.has_t5(folder)


def test_a_t5_that_the_index_names_has_to_be_there(folder):
  (folder / 'text_encoder_3').rename(folder / 'elsewhere')
  with pytest.raises(InputError, match='Expected a folder text_encoder_3'):
    read(folder)


@pytest.mark.parametrize(('ours', 'used'), [(0.0, 2.5), (4.0, 4.0)])
def test_the_shift_is_that_of_the_folder_unless_the_config_has_one(
  folder, ours, used
):
  changed(folder / SCHEDULER, shift=2.5)
  changes = {'sampler.shift': ours, 'training.sigma_distribution': 'uniform'}
  config = small_run.preset_config('sd3_tiny', changes)
  mesh = sharding.make_mesh(1, devices=jax.devices()[:1])
  model = sd3._functions(config, mesh, sd3_folder.read(folder))
  shifts = []

  def grid(steps, shift):
    shifts.append(shift)
    return noise_levels.sd3_sigmas(steps, shift)

  flow._modality(
    config,
    mesh,
    model._replace(grid=grid),
    flow.methods.make_method('fixed_w2'),
    lambda params, frozen: params,
    solver='euler',
    samples=2,
    guidance=(1.0, 1.0),
    gather=lambda full: full,
  )
  assert shifts == [used]


def test_the_presets_of_sd3_take_the_shift_of_the_folder():
  presets = ['sd3_medium', 'sd3_medium_colab', 'sd35_medium', 'sd35_large']
  for preset in (*presets, 'sd3_tiny'):
    assert small_run.preset_config(preset, {}).sampler.shift == 0


@pytest.mark.parametrize(
  ('name', 'count'),
  [
    ('sd3_medium', 2_028_328_000),
    ('sd35_medium', 2_243_171_520),
    ('sd35_large', 8_056_627_520),
  ],
)
def test_released_models_have_their_number_of_parameters(name, count):
  model = sd3_folder.ARCHITECTURES[name]
  shapes = sd3_folder.transformer_shapes(model.transformer, (64, 64))
  sizes = [leaf.size for leaf in jax.tree.leaves(shapes['params'])]
  assert sum(sizes) == count
  assert model.shift == 3.0
