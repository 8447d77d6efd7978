"""Times one step of online RL on a flow model: adrpo_jax and diffusers.

  pip install '.[parity]'
  export PYTHONPATH=.
  python benchmarks/t2i_step.py --out=benchmarks/results/t2i_step.json

Both sides do the same work: P·G samples of P prompts by Euler steps, the
decoder of the autoencoder, a reward on the host (JPEG size), then `updates`
times the two-term ADRPO loss with gradients and AdamW. Architecture and sizes
are those of the base in this repository: `SD3Transformer2DModel` and
`AutoencoderKL` in diffusers, `MMDiT` and `Autoencoder` here. The weights are
random, because time does not depend on them. The sides run in turns, each alone
in a process, so that each peak of memory belongs to one side.
"""

import argparse
import itertools
import json
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time

STAGES = ('rollout', 'reward', 'update')
BETA0 = 0.25


def main() -> None:
  """Times both sides in turns and reports the medians and their ratio."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--side', choices=SIDES, help='run this side only')
  parser.add_argument('--prompts', type=int, default=24)
  parser.add_argument('--samples', type=int, default=8)
  parser.add_argument('--solver-steps', type=int, default=8)
  parser.add_argument('--updates', type=int, default=2)
  parser.add_argument('--repeats', type=int, default=5, help='timed steps')
  parser.add_argument('--rounds', type=int, default=2)
  parser.add_argument('--out', type=pathlib.Path)
  args = parser.parse_args()
  if args.side:
    print(json.dumps(stage_medians(SIDES[args.side](args), args.repeats)))
    return
  rounds: dict[str, list[dict]] = {side: [] for side in SIDES}
  for _ in range(args.rounds):
    for side, results in rounds.items():
      command = [sys.executable, *sys.argv, f'--side={side}']
      process = subprocess.run(
        command, check=True, capture_output=True, text=True
      )
      results.append(json.loads(process.stdout.splitlines()[-1]))
      print(side, results[-1], flush=True)
  report = summary(args, rounds)
  print(json.dumps(report, indent=1))
  if args.out:
    args.out.write_text(json.dumps(report, indent=1) + '\n')


def stage_medians(step, repeats: int) -> dict[str, float]:
  """Returns median seconds of each stage and the peak memory.

  Two steps before the timed ones warm up.
  """
  step()
  step()
  times = [step() for _ in range(repeats)]
  medians = {s: statistics.median(t[s] for t in times) for s in STAGES}
  medians['step'] = statistics.median(sum(t.values()) for t in times)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  return {k: round(v, 4) for k, v in medians.items()} | {
    'peak_mib': round(peak)
  }


def summary(args, rounds: dict[str, list[dict]]) -> dict:
  """Returns the workload, the medians over rounds, and torch's time by ours."""
  sides = {
    side: {k: statistics.median(r[k] for r in results) for k in results[0]}
    for side, results in rounds.items()
  }
  ours, theirs = sides['jax'], sides['torch']
  work = {
    k: v for k, v in vars(args).items() if k not in ('side', 'out', 'rounds')
  }
  return {
    'work': work,
    'machine': f'{platform.processor() or platform.machine()}',
    'seconds': sides,
    'torch_over_jax': {k: round(theirs[k] / ours[k], 2) for k in ours},
  }


def time_stages(*stages):
  """Runs stages, each on the result of the previous one; returns seconds."""
  seconds, value = {}, ()
  for name, stage in zip(STAGES, stages, strict=True):
    since = time.perf_counter()
    value = stage(*value)
    seconds[name] = time.perf_counter() - since
  return seconds


def jax_side(args):
  """Times adrpo_jax, built from the config of the main command."""
  import jax

  from adrpo_jax import builders
  from configs import t2i

  config = t2i.get_config()
  config.prompts.prompts_per_step, config.prompts.group_size = (
    args.prompts,
    args.samples,
  )
  config.sampler.steps = args.solver_steps
  config.training.updates_per_rollout = args.updates
  config.eval.num_prompts = config.eval.batch_size = 8
  config.reward.weights = {'jpeg_compressibility': 1.0}
  run = builders.build(config, builders.make_mesh(config))
  state = run.init()
  prompts = run.prompts_at(0)
  keys = iter(jax.random.split(jax.random.key(0), 1000))

  def rollout():
    samples = run.rollout(state.params, run.frozen, prompts, next(keys))
    return jax.block_until_ready((samples, run.decode(run.frozen, samples)))

  def reward(samples, images):
    return samples, jax.block_until_ready(run.reward(prompts, images))

  def update(samples, scores):
    nonlocal state
    state, metrics = run.update(
      state, run.frozen, samples, scores, prompts, next(keys)
    )
    jax.block_until_ready(metrics['loss'])
    return ()

  return lambda: time_stages(rollout, reward, update)


def torch_side(args):
  """Times PyTorch in eager mode, as published trainers run it on a CPU."""
  from diffusers import AutoencoderKL, SD3Transformer2DModel
  import torch

  from adrpo_jax.pretrain.shapes import SMALL_BASE
  from adrpo_jax.rewards import jpeg

  torch.manual_seed(0)
  sizes, text, coder = (
    SMALL_BASE.mmdit,
    SMALL_BASE.text_encoder,
    SMALL_BASE.autoencoder,
  )
  model = SD3Transformer2DModel(
    sample_size=sizes.sample_size,
    patch_size=sizes.patch_size,
    in_channels=sizes.in_channels,
    out_channels=sizes.in_channels,
    num_layers=sizes.num_layers,
    num_attention_heads=sizes.num_attention_heads,
    attention_head_dim=sizes.attention_head_dim,
    joint_attention_dim=sizes.joint_attention_dim,
    caption_projection_dim=(
      sizes.num_attention_heads * sizes.attention_head_dim
    ),
    pooled_projection_dim=sizes.pooled_projection_dim,
    pos_embed_max_size=sizes.pos_embed_max_size,
  )
  reference = SD3Transformer2DModel(**model.config)
  reference.load_state_dict(model.state_dict())
  reference.requires_grad_(False)
  levels = len(coder.block_out_channels)
  autoencoder = AutoencoderKL(
    latent_channels=coder.latent_channels,
    block_out_channels=coder.block_out_channels,
    layers_per_block=coder.layers_per_block,
    norm_num_groups=coder.norm_num_groups,
    down_block_types=('DownEncoderBlock2D',) * levels,
    up_block_types=('UpDecoderBlock2D',) * levels,
    use_quant_conv=False,
    use_post_quant_conv=False,
  ).requires_grad_(False)
  optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
  judge = jpeg.compressibility(95)
  count = args.prompts * args.samples
  words = torch.randn(args.prompts, text.length, text.width)
  words = words.repeat_interleave(args.samples, 0)
  pooled = words.mean(1)
  sigmas = torch.linspace(1, 0, args.solver_steps + 1)
  shape = (sizes.in_channels, sizes.sample_size, sizes.sample_size)

  def velocity(network, x, sigma):
    return network(x, words, pooled, sigma * 1000, return_dict=False)[0]

  def rollout():
    with torch.inference_mode():
      x = torch.randn(count, *shape)
      for now, following in itertools.pairwise(sigmas):
        x = x + (following - now) * velocity(model, x, now.expand(count))
      images = autoencoder.decode(x, return_dict=False)[0] / 2 + 0.5
    return x.clone(), images.clone()

  def reward(x0, images):
    pixels = images.clamp(0, 1).mul(255).round().to(torch.uint8)
    pixels = pixels.permute(0, 2, 3, 1).numpy()
    rewards = torch.as_tensor(judge([''] * count, pixels), dtype=torch.float32)
    groups = rewards.reshape(args.prompts, args.samples)
    advantage = groups - groups.mean(1, keepdim=True)
    return x0, advantage.clamp(-0.9 * BETA0, 0.9 * BETA0).flatten()

  def update(x0, advantage):
    for _ in range(args.updates):
      sigma, noise = torch.rand(count), torch.randn_like(x0)
      at = sigma[:, None, None, None]
      x = (1 - at) * x0 + at * noise
      with torch.no_grad():
        anchor = velocity(reference, x, sigma)
      output = velocity(model, x, sigma)
      policy = ((output - (noise - x0)) ** 2).mean((1, 2, 3))
      divergence = ((output - anchor) ** 2).mean((1, 2, 3))
      loss = (advantage * policy + (BETA0 - advantage) * divergence).mean()
      optimizer.zero_grad()
      loss.backward()
      torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
      optimizer.step()
    return ()

  return lambda: time_stages(rollout, reward, update)


SIDES = {'jax': jax_side, 'torch': torch_side}

if __name__ == '__main__':
  main()
