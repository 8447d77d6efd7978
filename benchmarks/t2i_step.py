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
import json
import pathlib
import statistics
import subprocess
import sys

from benchmarks import timing
from benchmarks.processor import processor

TIMES = (*timing.STAGES, 'step')


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
    result = timing.median_seconds(SIDES[args.side](args), args.repeats)
    peak = {'peak_mib': timing.host_peak_mib()}
    print(json.dumps({k: result[k] for k in TIMES} | peak))
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
    'processor': processor(),
    'seconds': sides,
    'torch_over_jax': {k: round(theirs[k] / ours[k], 2) for k in ours},
  }


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
  config.training.reference_sync_steps = 0  # as there
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

  return lambda: timing.timed(rollout, reward, update)


def torch_side(args):
  """Times PyTorch in eager mode, as published trainers run it on a CPU."""
  import torch

  from adrpo_jax.pretrain.shapes import SMALL_BASE
  from adrpo_jax.rewards import jpeg
  from benchmarks import torch_flow

  torch.manual_seed(0)
  sizes, text = SMALL_BASE.mmdit, SMALL_BASE.text_encoder
  model = torch_flow.make_transformer(sizes)
  reference = torch_flow.make_transformer(sizes)
  reference.load_state_dict(model.state_dict())
  autoencoder = torch_flow.make_autoencoder(SMALL_BASE.autoencoder)
  compressibility = jpeg.compressibility(95)
  words = torch.randn(args.prompts, text.length, text.width)
  words = words.repeat_interleave(args.samples, 0)

  def decode(x):
    return autoencoder.decode(x, return_dict=False)[0] / 2 + 0.5

  def judge(images):
    pixels = images.clamp(0, 1).mul(255).round().to(torch.uint8)
    pixels = pixels.permute(0, 2, 3, 1).numpy()
    rewards = compressibility([''] * len(pixels), pixels)
    return torch.as_tensor(rewards, dtype=torch.float32)

  return torch_flow.make_step(
    torch_flow.Work(
      args.prompts, args.samples, args.solver_steps, args.updates
    ),
    torch_flow.Models(
      policy=model,
      reference=reference.requires_grad_(False),
      decode=decode,
      judge=judge,
      states=words,
      pooled=words.mean(1),
      latent=(sizes.in_channels, sizes.sample_size, sizes.sample_size),
    ),
    torch.linspace(1, 0, args.solver_steps + 1),
  )


SIDES = {'jax': jax_side, 'torch': torch_side}

if __name__ == '__main__':
  main()
