"""Times one iteration of GRPO on a small Qwen2: adrpo_jax and TRL.

  pip install '.[parity]'
  export PYTHONPATH=.
  python benchmarks/llm_step.py --out=benchmarks/results/llm_step.json

Both sides do the same work: they sample G answers of T tokens to each of P
prompts at temperature 1, compute a reward on the host, the log-probabilities of
policy and reference, the clipped surrogate with its KL and the gradients, and
apply AdamW. Both use the same model folder, random weights with a few million
parameters, and float32. TRL generates with transformers, its default, with T as
the minimum length of an answer; here one answer in hundreds ends before T. The
sides run in turns, each alone in a process, so that each peak of memory belongs
to one side.

There are two workloads, P x G x T. The second has fewer and longer answers and
spends a larger share of its time on sampling.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder, DecoderConfig
from adrpo_jax.models.tiny import qwen as qwen_tiny
from benchmarks import timing
from benchmarks.processor import processor

BETA = 0.04
WORKS = ('8x8x64', '4x8x256')
PATTERN = '(?s).*[aeiou].*'
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
  """Times both sides for each workload and reports medians and ratios."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--side', choices=SIDES, help='run this side only')
  parser.add_argument('--folder', help='model folder; made if not given')
  parser.add_argument('--works', nargs='+', default=WORKS, help='P x G x T')
  parser.add_argument('--repeats', type=int, default=5, help='steps timed')
  parser.add_argument('--rounds', type=int, default=2)
  parser.add_argument('--out', type=pathlib.Path)
  args = parser.parse_args()
  if args.side:
    print(json.dumps(SIDES[args.side](args)))
    return
  with tempfile.TemporaryDirectory() as folder:
    write_model(pathlib.Path(folder))
    results = {work: compare(args, folder, work) for work in args.works}
  report = {
    'command': 'PYTHONPATH=. python benchmarks/llm_step.py',
    'repeats': args.repeats,
    'rounds': args.rounds,
    'processor': processor(),
    'works': results,
  }
  print(json.dumps(report, indent=1))
  if args.out:
    args.out.write_text(json.dumps(report, indent=1) + '\n')


def compare(args, folder: str, work: str) -> dict:
  """Returns the medians of both sides over rounds, and their ratios."""
  rounds: dict[str, list[dict]] = {side: [] for side in SIDES}
  for _ in range(args.rounds):
    for side, results in rounds.items():
      process = subprocess.run(
        [
          *(sys.executable, sys.argv[0], f'--repeats={args.repeats}'),
          *(f'--side={side}', f'--folder={folder}', '--works', work),
        ],
        check=True,
        capture_output=True,
        text=True,
      )
      results.append(json.loads(process.stdout.splitlines()[-1]))
      print(work, side, results[-1], flush=True)
  sides = {
    side: {k: statistics.median(r[k] for r in results) for k in results[0]}
    for side, results in rounds.items()
  }
  ours, theirs = sides['jax'], sides['trl']
  return sides | {
    'speed_over_trl': round(
      ours['tokens_per_second'] / theirs['tokens_per_second'], 2
    ),
    'memory_over_trl': round(ours['peak_mib'] / theirs['peak_mib'], 2),
  }


def write_model(folder: pathlib.Path) -> None:
  """Writes a random Qwen2 with a byte tokenizer in transformers' layout."""
  import jax

  qwen_tiny.write_tokenizer(folder)
  init = jax.jit(lambda key: decoder_folder.init_params(Decoder(SIZES), key))
  params = init(jax.random.key(0))
  decoder_folder.save(folder, decoder_folder.config_fields(SIZES), params)


def texts(count: int) -> list[str]:
  """Returns prompts of equal length."""
  return [f'Question {i:03d}: what is {i:03d} and one?' for i in range(count)]


def medians(seconds: list[float], tokens: list[float]) -> dict[str, float]:
  """Returns medians over the steps after WARM_UP, and the peak memory."""
  seconds, tokens = seconds[timing.WARM_UP :], tokens[timing.WARM_UP :]
  step = statistics.median(seconds)
  return {
    'step': round(step, 4),
    'tokens': statistics.median(tokens),
    'tokens_per_second': round(statistics.median(tokens) / step, 1),
    'peak_mib': timing.host_peak_mib(),
  }


def sizes(args) -> tuple[int, int, int]:
  """Returns P, G and T of the workload."""
  prompts, samples, max_completion_length = map(int, args.works[0].split('x'))
  return prompts, samples, max_completion_length


def make_config(
  folder: str, prompts: pathlib.Path, work: tuple[int, int, int], longest: int
):
  """Returns the config of a workload.

  Args:
    folder: of the model.
    prompts: a file with a prompt on each line.
    work: P, G and T.
    longest: the tokens of the longest prompt.
  """
  from configs import llm

  config = llm.get_config('tiny_hf')
  config.model.update(family='decoder', path=folder, template='none')
  config.compute.update(scan_layers=False, remat_policy='everything')
  config.prompts.update(
    source=str(prompts),
    eval_prompts=str(prompts),
    prompts_per_step=work[0],
    group_size=work[1],
    max_prompt_length=longest,
  )
  config.sampler.max_completion_length = work[2]
  config.training.updates_per_rollout = 1
  config.compute.microbatches = 1
  config.method.name = 'grpo'
  config.method.grpo.update(beta=BETA, kl='k3')
  config.reward.regex_format.pattern = PATTERN
  return config


def jax_side(args) -> dict[str, float]:
  """Times adrpo_jax, built from the config of language models."""
  import jax

  from adrpo_jax import builders

  work = sizes(args)
  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / 'prompts.txt'
    file.write_text('\n'.join(texts(work[0])))
    config = make_config(args.folder, file, work, longest=40)
    run = builders.build(config, builders.make_mesh(config))
  state, seconds, tokens = run.init(), [], []
  for step in range(timing.WARM_UP + args.repeats):
    key = jax.random.key(step)
    since = time.perf_counter()
    batch = run.prompts_at(step)
    answers = run.rollout(state.params, run.frozen, batch, key)
    scores = run.reward(batch, run.decode(run.frozen, answers))
    state, metrics = run.update(state, run.frozen, answers, scores, batch, key)
    jax.block_until_ready(metrics['loss'])
    seconds.append(time.perf_counter() - since)
    tokens.append(int(answers['mask'].sum()))
  return medians(seconds, tokens)


def trl_side(args) -> dict[str, float]:
  """Times TRL, used as in its documentation, from step to step."""
  from adrpo_jax.rewards.text.form import regex_format
  from benchmarks import trl_step

  prompts, samples, max_completion_length = sizes(args)
  steps = trl_step.run(
    args.folder,
    trl_step.Work(texts(prompts), samples, max_completion_length, args.repeats),
    regex_format(PATTERN),
    beta=BETA,
    learning_rate=1e-3,
    use_cpu=True,
    bf16=False,
  )
  tokens = [prompts * samples * max_completion_length] * len(steps)
  return medians([step['step'] for step in steps], tokens)


SIDES = {'jax': jax_side, 'trl': trl_side}

if __name__ == '__main__':
  main()
