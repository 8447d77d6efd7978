"""The step of `flow_config` in PyTorch: diffusers, peft and torch.compile."""

from collections.abc import Callable
from functools import partial
from typing import Any

from diffusers.training_utils import cast_training_params
from ml_collections import ConfigDict
from peft import LoraConfig
import torch
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from adrpo_jax.models.sd3.folder import Sd3Folder
from adrpo_jax.rewards.clip.preprocess import MEAN, STD
from adrpo_jax.sampling.noise_levels import sd3_sigmas
from benchmarks import torch_flow

# The dense layers that `models.lora.ATTENTION` adapts, by diffusers' names.
TARGETS = [
  *('to_q', 'to_k', 'to_v', 'to_out.0'),
  *('add_q_proj', 'add_k_proj', 'add_v_proj', 'to_add_out'),
]
T5_AND_CLIP = 77


def make_step(config: ConfigDict, model: Sd3Folder, backend: str):
  """() -> seconds of rollout, reward and update.

  The base is in the config's dtype, adapters and optimizer in float32; the
  autoencoder and CLIP are float32 with TF32 products, as XLA takes them by
  default. Layers are compiled one by one, the regional compilation that
  diffusers advises, the autoencoder's decoder as a whole.
  """
  torch.backends.cuda.matmul.allow_tf32 = True
  device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
  dtype = getattr(torch, config.model.dtype)
  compiled = partial(torch.compile, backend=backend)
  count = config.prompts.prompts_per_step * config.prompts.group_size
  with device:
    transformers = [
      torch_flow.make_transformer(model.transformer).to(dtype) for _ in 'ab'
    ]
    autoencoder = torch_flow.make_autoencoder(model.autoencoder)
    judge = _judge(config, count)
    length = T5_AND_CLIP + config.model.t5_length
    width = model.transformer.joint_attention_dim
    states = torch.randn(count, length, width, dtype=dtype)
    pooled = torch.randn(
      count, model.transformer.pooled_projection_dim, dtype=dtype
    )
  policy, reference = transformers
  for transformer in transformers:
    transformer.requires_grad_(False)
  policy.add_adapter(
    LoraConfig(
      r=config.model.lora_rank,
      lora_alpha=config.model.lora_alpha,
      target_modules=TARGETS,
    )
  )
  cast_training_params(policy, torch.float32)
  for transformer in transformers:
    for block in transformer.transformer_blocks:
      block.compile(backend=backend)
  decoder = compiled(autoencoder.decoder)
  edge = config.model.resolution // model.autoencoder.downsampling

  def rewards(x0):
    chunks = x0.chunk(config.compute.decode_chunks)
    images = torch.cat([decoder(chunk) for chunk in chunks])
    return judge(images.float() / 2 + 0.5)

  sigmas = sd3_sigmas(config.sampler.steps, config.sampler.shift or model.shift)
  return torch_flow.make_step(
    torch_flow.Work(
      config.prompts.prompts_per_step,
      config.prompts.group_size,
      config.sampler.steps,
      guidance=config.sampler.guidance_scale,
      microbatches=config.compute.microbatches,
    ),
    torch_flow.Models(
      policy=policy,
      reference=reference,
      decode=lambda x0: x0,  # Decoding is timed as a part of the reward.
      judge=rewards,
      states=states,
      pooled=pooled,
      latent=(model.transformer.in_channels, edge, edge),
    ),
    torch.as_tensor(sigmas, dtype=torch.float32, device=device),
    precision=partial(
      torch.autocast,
      device.type,
      torch.bfloat16,
      enabled=(dtype == torch.bfloat16),
    ),
  )


def peak_mib() -> int | None:
  """The peak of the card's memory, MiB; None without a card."""
  if not torch.cuda.is_available():
    return None
  return round(torch.cuda.max_memory_allocated() / 2**20)


def device_name() -> str:
  """The card's name."""
  return torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'


def _judge(
  config: ConfigDict, count: int
) -> Callable[[torch.Tensor], torch.Tensor]:
  """CLIP ViT-L/14 against random texts, where the config has clip_score."""
  if not config.reward.weights.clip_score:
    return lambda images: images.mean((1, 2, 3))
  tower = CLIPVisionModelWithProjection(
    CLIPVisionConfig(
      hidden_size=1024,
      intermediate_size=4096,
      projection_dim=768,
      num_hidden_layers=24,
      num_attention_heads=16,
      patch_size=14,
    )
  ).requires_grad_(False)
  texts = F.normalize(torch.randn(count, 768), dim=-1)
  mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (MEAN, STD))

  def judge(images: torch.Tensor) -> torch.Tensor:
    small = F.interpolate(
      images.clamp(0, 1), (224, 224), mode='bicubic', antialias=True
    )
    seen: Any = tower((small - mean) / std).image_embeds
    return (F.normalize(seen, dim=-1) * texts).sum(-1)

  return judge
