"""The SD3 transformer and autoencoder against diffusers, weights and all."""

import dataclasses

from closeness import TOLERANCE, check_gradients, distance
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.models import layout, sd3_layout
from adrpo_jax.models.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.mmdit import MMDiT, MMDiTConfig, position_table
from adrpo_jax.models.tensor_files import tensor_files
from adrpo_jax.models.text_encoder import Condition

torch = pytest.importorskip('torch')
diffusers = pytest.importorskip('diffusers')
pytestmark = pytest.mark.parity

VARIANTS = {
  'sd3': MMDiTConfig(
    sample_size=8,
    in_channels=4,
    num_layers=3,
    num_attention_heads=2,
    attention_head_dim=16,
    joint_attention_dim=24,
    pooled_projection_dim=20,
    pos_embed_max_size=12,
  ),
}
VARIANTS['sd35'] = dataclasses.replace(
  VARIANTS['sd3'], qk_norm=True, dual_attention_layers=(0,), num_layers=4
)
TABLE = 'pos_embed.pos_embed'


def _theirs(config: MMDiTConfig):
  torch.manual_seed(0)
  fields = dataclasses.asdict(config)
  fields['qk_norm'] = 'rms_norm' if config.qk_norm else None
  model = diffusers.SD3Transformer2DModel(
    **fields,
    out_channels=config.in_channels,
    caption_projection_dim=config.width,
  )
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if parameter.ndim == 1 and 'norm_' in name:  # Ones would hide a mix-up.
        parameter.add_(0.3 * torch.randn_like(parameter))
  return model.eval()


def _inputs(config: MMDiTConfig, rows: int, columns: int):
  rng = np.random.default_rng(1)
  return [
    rng.normal(size=shape).astype(np.float32)
    for shape in (
      (2, config.in_channels, rows, columns),
      (2, 7, config.joint_attention_dim),
      (2, config.pooled_projection_dim),
    )
  ] + [np.array([0.3, 0.95], np.float32)]


def _loaded(folder, config: MMDiTConfig, rows: int, columns: int):
  x = jnp.zeros((1, rows, columns, config.in_channels))
  text = Condition(
    jnp.zeros((1, 7, config.joint_attention_dim)),
    jnp.zeros((1, config.pooled_projection_dim)),
  )
  shapes = jax.eval_shape(
    MMDiT(config).init, jax.random.key(0), x, jnp.zeros(1), text
  )
  with tensor_files(folder) as files:
    return layout.load(
      files, sd3_layout.transformer_rows(2), shapes, f'^{TABLE}$'
    )


@pytest.mark.parametrize('unroll', [True, False])
@pytest.mark.parametrize('name', VARIANTS)
def test_transformer(name, unroll, tmp_path):
  config = VARIANTS[name]
  model = _theirs(config)
  model.save_pretrained(tmp_path, max_shard_size='100KB')
  assert (tmp_path / 'diffusion_pytorch_model.safetensors.index.json').exists()
  latents, states, pooled, sigma = _inputs(config, 8, 6)
  tensors = [torch.tensor(a) for a in (latents, states, pooled)]
  expected = model(*tensors[:2], tensors[2], 1000 * torch.tensor(sigma))[0]
  (expected**2).sum().backward()

  params = _loaded(tmp_path, config, 8, 6)
  ours = MMDiT(config, Compute(unroll=unroll))

  def velocity(params):
    x = latents.transpose(0, 2, 3, 1)
    return ours.apply(params, x, sigma, Condition(states, pooled))

  v, pullback = jax.vjp(jax.jit(velocity), params)
  assert distance(v.transpose(0, 3, 1, 2), expected.detach()) < TOLERANCE
  gradients = layout.to_theirs(
    sd3_layout.transformer_rows(2), pullback(2 * v)[0]
  )
  check_gradients(gradients, dict(model.named_parameters()))


def test_their_position_table_is_our_formula():
  config = VARIANTS['sd3']
  largest = config.pos_embed_max_size
  table = _theirs(config).pos_embed.pos_embed[0].reshape(largest, largest, -1)
  top, left = (largest - 4) // 2, (largest - 3) // 2
  crop = table[top : top + 4, left : left + 3].reshape(12, -1)
  assert distance(position_table(config, 4, 3), crop) < 1e-6


def test_autoencoder(tmp_path):
  config = AutoencoderConfig(
    block_out_channels=(8, 8, 16, 16), norm_num_groups=4, latent_channels=4
  )
  torch.manual_seed(0)
  model = diffusers.AutoencoderKL(
    block_out_channels=config.block_out_channels,
    norm_num_groups=4,
    latent_channels=4,
    layers_per_block=2,
    down_block_types=['DownEncoderBlock2D'] * 4,
    up_block_types=['UpDecoderBlock2D'] * 4,
    use_quant_conv=False,
    use_post_quant_conv=False,
  )
  model.save_pretrained(tmp_path)
  ours = Autoencoder(config)
  images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 16))
  images = images.astype(np.float32)
  seen = images.transpose(0, 2, 3, 1)
  shapes = jax.eval_shape(ours.init, jax.random.key(0), seen, jax.random.key(0))
  with tensor_files(tmp_path) as files:
    params = layout.load(files, sd3_layout.autoencoder_rows(), shapes)

  latents = model.encode(torch.tensor(images)).latent_dist
  mean, logvar = jax.jit(lambda p: ours.apply(p, seen, method='moments'))(
    params
  )
  channels_last = (0, 2, 3, 1)
  assert (
    distance(mean, latents.mean.detach().permute(channels_last)) < TOLERANCE
  )
  theirs = latents.logvar.detach().permute(channels_last)
  assert distance(logvar, theirs) < TOLERANCE
  z = (latents.mean.detach() - 0.0609) * 1.5305
  expected = model.decode(z / 1.5305 + 0.0609).sample
  (expected**2).sum().backward()

  def decode(params):
    return ours.apply(params, z.permute(channels_last).numpy(), method='decode')

  decoded, pullback = jax.vjp(jax.jit(decode), params)
  assert distance(decoded, expected.detach().permute(channels_last)) < TOLERANCE
  gradients = layout.to_theirs(
    sd3_layout.autoencoder_rows(), pullback(2 * decoded)[0]
  )
  theirs = dict(model.decoder.named_parameters(prefix='decoder'))
  check_gradients({name: gradients[name] for name in theirs}, theirs)
