"""One iteration of GRPO on a small Qwen2: TRL's GRPOTrainer, and this.

  pip install '.[parity]'
  export PYTHONPATH=.
  python benchmarks/llm_step.py --out=benchmarks/results/llm_step.json

The work is the same on both sides: G answers to each of P prompts, sampled at
temperature 1 and T tokens long, a reward on the host, log-probabilities of
policy and reference, the clipped surrogate with its KL, gradients and AdamW.
The folder of the model is the same too, random weights of a few million. Both
run in float32. TRL generates with transformers, its default; it is told not to
end an answer before T tokens, which here one answer in hundreds does. The sides
take turns in processes of their own, which have the machine for themselves, so
that each peak of memory belongs to one.
"""

import argparse
import json
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from adrpo_jax.models import qwen, qwen_tiny
from adrpo_jax.models.decoder import Decoder, DecoderConfig

BETA = 0.04
PATTERN = '(?s).*[aeiou].*'
WARM_UP = 2
SIZES = DecoderConfig(
  vocab_size=8192,
  hidden_size=256,
  intermediate_size=1024,
  num_hidden_layers=4,
  num_attention_heads=8,
  num_key_value_heads=2,
  head_dim=32,
  rms_norm_eps=1e-6,
  rope_theta=1e4,
  tie_word_embeddings=True,
  attention_bias=True,
  qk_norm=False,
)


def main() -> None:
  """Both sides in turn, `rounds` times; the medians and their ratio."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--side', choices=SIDES, help='this side alone')
  parser.add_argument('--folder', help='of the model; made if not given')
  parser.add_argument('--prompts', type=int, default=8)
  parser.add_argument('--samples', type=int, default=8)
  parser.add_argument('--longest', type=int, default=64, help='T')
  parser.add_argument('--repeats', type=int, default=5, help='steps timed')
  parser.add_argument('--rounds', type=int, default=2)
  parser.add_argument('--out', type=pathlib.Path)
  args = parser.parse_args()
  if args.side:
    print(json.dumps(SIDES[args.side](args)))
    return
  rounds: dict[str, list[dict]] = {side: [] for side in SIDES}
  with tempfile.TemporaryDirectory() as folder:
    write_model(pathlib.Path(folder))
    for _ in range(args.rounds):
      for side, results in rounds.items():
        own = [f'--side={side}', f'--folder={folder}']
        told = subprocess.run(
          [sys.executable, *sys.argv, *own],
          check=True,
          capture_output=True,
          text=True,
        )
        results.append(json.loads(told.stdout.splitlines()[-1]))
        print(side, results[-1], flush=True)
  report = summary(args, rounds)
  print(json.dumps(report, indent=1))
  if args.out:
    args.out.write_text(json.dumps(report, indent=1) + '\n')


def write_model(folder: pathlib.Path) -> None:
  """A random Qwen2 with a tokeniser of bytes, in the layout of transformers."""
  import jax

  qwen_tiny.write_tokeniser(folder)
  init = jax.jit(lambda key: qwen.initialised(Decoder(SIZES), key))
  params = init(jax.random.key(0))
  qwen.save(folder, qwen.config_fields(SIZES), params)


def texts(count: int) -> list[str]:
  """Prompts of one length."""
  return [f'Question {i:03d}: what is {i:03d} and one?' for i in range(count)]


def measured(seconds: list[float], tokens: list[float]) -> dict[str, float]:
  """Medians over the steps after the first ones; the peak of memory."""
  seconds, tokens = seconds[WARM_UP:], tokens[WARM_UP:]
  step = statistics.median(seconds)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  return {
    'step': round(step, 4),
    'tokens': statistics.median(tokens),
    'tokens_per_second': round(statistics.median(tokens) / step, 1),
    'peak_mib': round(peak),
  }


def summary(args, rounds: dict[str, list[dict]]) -> dict:
  """What was run, the medians over rounds, and how the sides compare."""
  sides = {
    side: {k: statistics.median(r[k] for r in results) for k in results[0]}
    for side, results in rounds.items()
  }
  ours, theirs = sides['jax'], sides['trl']
  skipped = ('side', 'out', 'rounds', 'folder')
  return {
    'work': {k: v for k, v in vars(args).items() if k not in skipped},
    'machine': platform.processor() or platform.machine(),
    'sides': sides,
    'speed_over_trl': round(
      ours['tokens_per_second'] / theirs['tokens_per_second'], 2
    ),
    'memory_over_trl': round(ours['peak_mib'] / theirs['peak_mib'], 2),
  }


def jax_side(args) -> dict[str, float]:
  """The package, built from the config of language models."""
  import jax

  from adrpo_jax import build
  from configs import llm

  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / 'prompts.txt'
    file.write_text('\n'.join(texts(args.prompts)))
    config = llm.get_config('tiny_hf')
    config.model.update(
      family='qwen',
      path=args.folder,
      template='none',
      unroll=True,
      kept='all',
    )
    config.prompts.update(
      source=str(file),
      held_out=str(file),
      per_step=args.prompts,
      samples=args.samples,
      longest=40,
    )
    config.sampler.longest = args.longest
    config.training.microbatches = 1
    config.method.name = 'grpo'
    config.method.grpo.update(beta=BETA, kl='k3')
    config.reward.regex_format.pattern = PATTERN
    run = build.build(config)
  state, seconds, tokens = run.init(), [], []
  for step in range(WARM_UP + args.repeats):
    key = jax.random.key(step)
    since = time.perf_counter()
    prompts = run.prompts_at(step)
    samples = run.rollout(state.params, run.frozen, prompts, key)
    scores = run.reward(prompts, run.decode(run.frozen, samples))
    state, metrics = run.update(
      state, run.frozen, samples, scores, prompts, key
    )
    jax.block_until_ready(metrics['loss'])
    seconds.append(time.perf_counter() - since)
    tokens.append(int(samples['mask'].sum()))
  return measured(seconds, tokens)


def trl_side(args) -> dict[str, float]:
  """TRL, as its documentation runs it; steps timed from one to the next."""
  import datasets
  import transformers
  from trl import GRPOConfig, GRPOTrainer

  from adrpo_jax.rewards.text_shape import regex_format

  judge = regex_format(PATTERN)
  seconds: list[float] = []

  class Clock(transformers.TrainerCallback):
    """When steps begin and end."""

    def on_step_begin(self, args, state, control, **kwargs):
      self.since = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
      seconds.append(time.perf_counter() - self.since)

  def reward(prompts, completions, **others):
    return [
      judge(p, c, None) for p, c in zip(prompts, completions, strict=True)
    ]

  rows = [{'prompt': text} for text in texts(args.prompts)]
  rows = rows * (WARM_UP + args.repeats + 1)
  with tempfile.TemporaryDirectory() as workdir:
    trainer = GRPOTrainer(
      model=args.folder,
      reward_funcs=reward,
      args=GRPOConfig(
        output_dir=workdir,
        use_cpu=True,
        report_to=[],
        save_strategy='no',
        disable_tqdm=True,
        bf16=False,
        gradient_checkpointing=False,
        shuffle_dataset=False,
        per_device_train_batch_size=args.prompts * args.samples,
        num_generations=args.samples,
        max_completion_length=args.longest,
        generation_kwargs={'min_new_tokens': args.longest},
        temperature=1.0,
        beta=BETA,
        learning_rate=1e-3,
        max_steps=WARM_UP + args.repeats,
        logging_strategy='no',
      ),
      train_dataset=datasets.Dataset.from_list(rows),
      callbacks=[Clock()],
    )
    trainer.train()
  tokens = [args.prompts * args.samples * args.longest] * len(seconds)
  return measured(seconds, tokens)


SIDES = {'jax': jax_side, 'trl': trl_side}

if __name__ == '__main__':
  main()
