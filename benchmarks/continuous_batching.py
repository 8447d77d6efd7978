"""Times a rollout whose rows take the next sample, and one whose rows wait.

  export PYTHONPATH=.
  python benchmarks/continuous_batching.py \\
    --out=benchmarks/results/continuous_batching.json

Both sample the same 16 x 8 completions of at most T tokens, from the same keys,
in one process and in turns. The model is the small Qwen2 of llm_step.py with
random weights, which draws all tokens about alike. So the share of tokens that
end a completion says how long they are: `uneven` lengths are geometric with a
mean of a quarter of T, and `even` ones fill T. Both return the same tokens in
float32; `differ` counts those that are not. With --peer, transformers draws as
many by its two ways (`transformers_batching.py`), which needs the parity extra.
"""

import argparse
from functools import partial
import json
import pathlib
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.modalities.decoder_model import language_model
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.sampling import continuous_batching, decoding
from adrpo_jax.sampling.keys import sample_keys
from adrpo_jax.sampling.token_distribution import make_token_distribution
from adrpo_jax.system.files import replacing
from benchmarks import llm_step
from benchmarks.processor import processor

PROMPTS, SAMPLES, LENGTH = 16, 8, 32
SHARES = (1, 2, 4)  # all samples at a time, a half or a quarter of them


def main() -> None:
  """Times both for each length of completions, and prints their ratios."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--longest', type=int, nargs='+', default=[64, 256])
  parser.add_argument('--repeats', type=int, default=5)
  parser.add_argument('--peer', action='store_true', help='transformers too')
  parser.add_argument('--out', type=pathlib.Path, required=True)
  args = parser.parse_args()
  report = {
    'command': ' '.join(
      ['PYTHONPATH=. python benchmarks/continuous_batching.py', *sys.argv[1:]]
    ),
    'processor': processor(),
    'samples': PROMPTS * SAMPLES,
    'works': {
      f'{name}, {longest} tokens': compare(longest, stops, args)
      for longest in args.longest
      for name, stops in ends(longest).items()
    },
  }
  with replacing(args.out) as new:
    new.write_text(json.dumps(report, indent=1) + '\n')
  print(json.dumps(report, indent=1))


def ends(longest: int) -> dict[str, range]:
  """Returns the tokens that end a completion, for each kind of lengths."""
  vocabulary = llm_step.SIZES.vocab_size
  return {'uneven': range(0, vocabulary, longest // 4), 'even': range(0)}


def compare(longest: int, stops: range, args: argparse.Namespace) -> dict:
  """Returns seconds of each loop, and how much faster than waiting it is."""
  loops = {'waiting': decoding.generate} | {
    f'{PROMPTS * SAMPLES // share} at a time': partial(
      continuous_batching.generate, rows=PROMPTS * SAMPLES // share
    )
    for share in SHARES
  }
  module = Decoder(llm_step.SIZES)
  model = language_model(module)
  init = jax.jit(lambda key: decoder_folder.init_params(module, key))
  params, (tokens, mask) = init(jax.random.key(0)), prompts()
  keys = sample_keys(jax.random.key(1), PROMPTS, SAMPLES)

  def rollout(generate, params, tokens, mask, keys):
    return generate(
      *(model.decode_fns(params), tokens, mask, keys),
      max_length=longest,
      stops=stops,
      pad=0,
      distribution=make_token_distribution(),
    )

  answers, seconds = {}, {name: [] for name in loops}
  jitted = {n: jax.jit(partial(rollout, loop)) for n, loop in loops.items()}
  for _ in range(1 + args.repeats):
    for name, function in jitted.items():
      since = time.perf_counter()
      answers[name] = jax.block_until_ready(
        function(params, tokens, mask, keys)
      )
      seconds[name].append(time.perf_counter() - since)
  first = answers['waiting']
  drawn = int(first.mask.sum())
  medians = {n: statistics.median(s[1:]) for n, s in seconds.items()}
  peers = of_peer(longest, stops, args.repeats) if args.peer else {}
  return {
    'mean_length': round(drawn / PROMPTS / SAMPLES, 1),
    'tokens_per_second': {n: round(drawn / s) for n, s in medians.items()},
    'ratio': {
      n: round(medians['waiting'] / s, 2)
      for n, s in medians.items()
      if n != 'waiting'
    },
    'differ': {
      n: int((a.tokens != first.tokens).sum()) for n, a in answers.items()
    },
    **({'peers': peers} if peers else {}),
  }


def of_peer(longest: int, stops: range, repeats: int) -> dict:
  """Returns tokens a second of transformers, and the tokens of a completion."""
  from benchmarks import transformers_batching

  tokens, mask = map(np.asarray, prompts())
  rollouts = transformers_batching.rollouts(
    *(llm_step.SIZES, tokens, mask),
    samples=SAMPLES,
    longest=longest,
    stops=stops,
  )
  found = {}
  for name, rollout in rollouts.items():
    times = [transformers_batching.timed(rollout) for _ in range(1 + repeats)]
    rates = [count / seconds for seconds, count in times[1:]]
    mean = statistics.fmean(count for _, count in times) / PROMPTS / SAMPLES
    found[name] = {
      'mean_length': round(mean, 1),
      'tokens_per_second': round(statistics.median(rates)),
    }
  return found


def prompts() -> tuple[jax.Array, jax.Array]:
  """Returns random tokens and their mask, padded on the left."""
  rng = np.random.default_rng(0)
  tokens = rng.integers(1, llm_step.SIZES.vocab_size, (PROMPTS, LENGTH))
  starts = rng.integers(0, LENGTH // 2, PROMPTS)
  return jnp.asarray(tokens), jnp.asarray(
    np.arange(LENGTH)[None] >= starts[:, None]
  )


if __name__ == '__main__':
  main()
