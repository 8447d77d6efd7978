"""Compares the SD3 transformer and autoencoder with diffusers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip('torch')
diffusers = pytest.importorskip('diffusers')

from closeness import TOLERANCE, check_gradients, distance
import tiny_sd3
from tiny_sd3 import VARIANTS

from adrpo_jax.models.compute import Compute
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.sd3 import weight_tables as sd3_tables
from adrpo_jax.models.sd3.autoencoder import Autoencoder
from adrpo_jax.models.sd3.mmdit import MMDiT, position_table

pytestmark = pytest.mark.parity


@pytest.mark.parametrize('scan_layers', [False, True])
@pytest.mark.parametrize('name', VARIANTS)
def test_transformer(name, scan_layers, tmp_path):
  config = VARIANTS[name]
  model = tiny_sd3.theirs(config)
  model.save_pretrained(tmp_path, max_shard_size='100KB')
  assert (tmp_path / 'diffusion_pytorch_model.safetensors.index.json').exists()
  inputs = tiny_sd3.inputs(config, 8, 6)
  expected = tiny_sd3.their_velocity(model, *inputs)
  (expected**2).sum().backward()

  params = tiny_sd3.load(tmp_path, config)
  ours = MMDiT(config, Compute(scan_layers=scan_layers))
  velocity = jax.jit(lambda p: tiny_sd3.our_velocity(ours, p, *inputs))
  v, pullback = jax.vjp(velocity, params)
  assert distance(v, expected.detach()) < TOLERANCE
  gradients = weight_table.to_hf(tiny_sd3.ROWS, pullback(2 * v)[0])
  check_gradients(gradients, dict(model.named_parameters()))


def test_their_position_table_is_our_formula():
  config = VARIANTS['sd3']
  largest = config.pos_embed_max_size
  table = (
    tiny_sd3.theirs(config).pos_embed.pos_embed[0].reshape(largest, largest, -1)
  )
  top, left = (largest - 4) // 2, (largest - 3) // 2
  crop = table[top : top + 4, left : left + 3].reshape(12, -1)
  assert distance(position_table(config, 4, 3), crop) < 1e-6


def test_autoencoder(tmp_path):
  model = tiny_sd3.their_autoencoder()
  model.save_pretrained(tmp_path)
  params = tiny_sd3.load_autoencoder(tmp_path)
  ours = Autoencoder(tiny_sd3.AUTOENCODER)
  images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 16))
  images = images.astype(np.float32)
  nhwc = images.transpose(0, 2, 3, 1)

  latents = model.encode(torch.tensor(images)).latent_dist
  mean, logvar = jax.jit(lambda p: ours.apply(p, nhwc, method='moments'))(
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
  gradients = weight_table.to_hf(
    sd3_tables.autoencoder_rows(), pullback(2 * decoded)[0]
  )
  theirs = dict(model.decoder.named_parameters(prefix='decoder'))
  check_gradients({name: gradients[name] for name in theirs}, theirs)


def test_bfloat16_errs_no_more_than_theirs(tmp_path):
  """Our root mean square error against float32 is at most 5 % above theirs."""
  errors = {'ours': [], 'theirs': []}
  for name, config in VARIANTS.items():
    model = tiny_sd3.theirs(config)
    model.save_pretrained(tmp_path / name)
    params = tiny_sd3.load(tmp_path / name, config)
    *arrays, sigma = tiny_sd3.inputs(config, 8, 6)
    exact = tiny_sd3.their_velocity(model, *arrays, sigma).detach().numpy()
    halves = [torch.tensor(a).to(torch.bfloat16) for a in arrays]
    said = model.to(torch.bfloat16)(*halves, 1000 * torch.tensor(sigma))[0]
    half = MMDiT(config, Compute(dtype=jnp.bfloat16))
    v = tiny_sd3.our_velocity(half, params, *arrays, sigma)
    assert v.dtype == jnp.float32  # What the solver adds up is not rounded.
    said = said.detach().float().numpy()
    errors['theirs'].append(np.mean((said - exact) ** 2))
    errors['ours'].append(np.mean((np.asarray(v) - exact) ** 2))
  ours, their_own = (np.sqrt(np.mean(e)) for e in errors.values())
  assert 0 < ours <= 1.05 * their_own
