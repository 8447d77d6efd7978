"""The step of online RL on a flow model in PyTorch, with diffusers' models.

Rollout by Euler steps, a reward, then the two-term ADRPO loss with gradients
and AdamW: the work of `adrpo_jax` on the same sizes, as the published trainers
write it.
"""

from collections.abc import Callable
import contextlib
import itertools
from typing import Any, NamedTuple

from diffusers import AutoencoderKL, SD3Transformer2DModel
import torch

from adrpo_jax.models.sd3.autoencoder import AutoencoderConfig
from adrpo_jax.models.sd3.mmdit import MMDiTConfig
from benchmarks import timing

BETA0 = 0.25


class Work(NamedTuple):
  """How much a step does.

  updates: of a rollout's samples.
  guidance: of rollout and loss alike; 1 is none, and one forward in place of
    two.
  microbatches: parts of the batch whose gradients are added up, one by one.
  """

  prompts: int
  samples: int
  solver_steps: int
  updates: int = 1
  guidance: float = 1.0
  microbatches: int = 1


class Models(NamedTuple):
  """What a step calls.

  policy:    the transformer that is trained
  reference: the one that is not
  decode:    (latents [B, C, h, w]) -> what is judged; the end of a rollout
  judge:     (what is judged) -> rewards [B]
  states:    text states of every sample [B, L, D]
  pooled:    pooled text of every sample [B, D']
  latent:    shape of one latent (C, h, w)
  """

  policy: SD3Transformer2DModel
  reference: SD3Transformer2DModel
  decode: Callable[[torch.Tensor], torch.Tensor]
  judge: Callable[[torch.Tensor], torch.Tensor]
  states: torch.Tensor
  pooled: torch.Tensor
  latent: tuple[int, int, int]


def make_transformer(sizes: MMDiTConfig) -> SD3Transformer2DModel:
  """A random transformer of these sizes."""
  return SD3Transformer2DModel(
    sample_size=sizes.sample_size,
    patch_size=sizes.patch_size,
    in_channels=sizes.in_channels,
    out_channels=sizes.in_channels,
    num_layers=sizes.num_layers,
    num_attention_heads=sizes.num_attention_heads,
    attention_head_dim=sizes.attention_head_dim,
    joint_attention_dim=sizes.joint_attention_dim,
    caption_projection_dim=sizes.width,
    pooled_projection_dim=sizes.pooled_projection_dim,
    pos_embed_max_size=sizes.pos_embed_max_size,
    dual_attention_layers=sizes.dual_attention_layers,
    qk_norm='rms_norm' if sizes.qk_norm else None,
  )


def make_autoencoder(sizes: AutoencoderConfig) -> AutoencoderKL:
  """A random autoencoder of these sizes, which is not trained."""
  levels = len(sizes.block_out_channels)
  return AutoencoderKL(
    latent_channels=sizes.latent_channels,
    block_out_channels=sizes.block_out_channels,
    layers_per_block=sizes.layers_per_block,
    norm_num_groups=sizes.norm_num_groups,
    down_block_types=('DownEncoderBlock2D',) * levels,
    up_block_types=('UpDecoderBlock2D',) * levels,
    use_quant_conv=False,
    use_post_quant_conv=False,
  ).requires_grad_(False)


def make_step(
  work: Work,
  models: Models,
  sigmas: torch.Tensor,
  *,
  learning_rate: float = 3e-4,
  precision: Callable[[], Any] = contextlib.nullcontext,
) -> timing.Step:
  """() -> seconds of rollout, reward and update.

  Args:
    work: prompts, samples and so on.
    models: on one device.
    sigmas: noise levels of the solver, from 1 to 0, on that device.
    learning_rate: AdamW's.
    precision: makes the context that the transformers run in.
  """
  device, count = sigmas.device, work.prompts * work.samples
  trained = [p for p in models.policy.parameters() if p.requires_grad]
  optimizer = torch.optim.AdamW(trained, lr=learning_rate)
  text = models.states, models.pooled

  def velocity(network, x, sigma, text):
    if work.guidance == 1:
      with precision():
        return network(x, *text, sigma * 1000, return_dict=False)[0].float()
    text = [torch.cat([leaf, torch.zeros_like(leaf)]) for leaf in text]
    x, sigma = torch.cat([x, x]), torch.cat([sigma, sigma])
    with precision():
      v = network(x, *text, sigma * 1000, return_dict=False)[0].float()
    conditional, empty = v.chunk(2)
    return empty + work.guidance * (conditional - empty)

  def rollout():
    with torch.inference_mode():
      x = torch.randn(count, *models.latent, device=device)
      for now, following in itertools.pairwise(sigmas):
        x = x + (following - now) * velocity(
          models.policy, x, now.expand(count), text
        )
      decoded = models.decode(x)
    return x.clone(), decoded.clone()

  def reward(x0, decoded):
    with torch.inference_mode():
      rewards = models.judge(decoded)
      groups = rewards.reshape(work.prompts, work.samples)
      advantage = groups - groups.mean(1, keepdim=True)
      advantage = advantage.clamp(-0.9 * BETA0, 0.9 * BETA0).flatten()
    return x0, advantage.clone()

  def loss_of(x0, advantage, *text):
    sigma = torch.rand(len(x0), device=device)
    noise = torch.randn_like(x0)
    at = sigma[:, None, None, None]
    x = (1 - at) * x0 + at * noise
    with torch.no_grad():
      anchor = velocity(models.reference, x, sigma, text)
    seen = velocity(models.policy, x, sigma, text)
    policy = ((seen - (noise - x0)) ** 2).mean((1, 2, 3))
    divergence = ((seen - anchor) ** 2).mean((1, 2, 3))
    return (advantage * policy + (BETA0 - advantage) * divergence).mean()

  def update(x0, advantage):
    rows = [a.chunk(work.microbatches) for a in (x0, advantage, *text)]
    for _ in range(work.updates):
      optimizer.zero_grad()
      for part in zip(*rows, strict=True):
        (loss_of(*part) / work.microbatches).backward()
      torch.nn.utils.clip_grad_norm_(trained, 1.0)
      optimizer.step()
    return ()

  def wait(value):
    if device.type == 'cuda':
      torch.cuda.synchronize()

  return lambda: timing.timed(rollout, reward, update, wait=wait)
