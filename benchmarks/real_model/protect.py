"""Measures what training cost elsewhere: a tuned model beside its base.

  pip install transformers torch peft
  export PYTHONPATH=.
  python benchmarks/real_model/protect.py --base=smollm2 --out=base.json
  python benchmarks/real_model/protect.py --base=smollm2 --tuned=RUN --out=F

RUN is a workdir with an export, `--mode=export`, or a folder of transformers or
peft. Nothing that is measured here is rewarded by the task:

  loss      nats a token of ordinary.txt, 100 sentences of our own
  kl        KL(tuned ‖ base) of the next token there, nats, over the vocabulary
  entropy   of the next token there, nats
  answered  share of questions.jsonl, 50 plain questions, whose first line after
            three examples is a right answer, by greedy choice
  length    tokens of an answer to 20 plain requests, of at most 128, sampled

A standard error is over sentences, questions or requests.
"""

import argparse
import json
import pathlib
import statistics
import string
import sys
from typing import Any

from adrpo_jax.errors import InputError
from adrpo_jax.worlds.instructions.topics import REQUESTS, topics
from benchmarks.real_model.models import Model, answers, in_chat, load

HERE = pathlib.Path(__file__).parent
EXAMPLES = (
  'Q: What is the capital of Portugal?\nA: Lisbon\n'
  'Q: How many fingers are on one hand?\nA: five\n'
  'Q: What is the opposite of open?\nA: closed\n'
)
LONGEST = 128  # tokens of a sampled answer
REQUESTED = 20
BATCH = 25  # sentences at a time


def main() -> None:
  """Writes the measures of one model as JSON."""
  flags = _flags()
  base = load(flags.base)
  tuned = load(flags.tuned) if flags.tuned else base
  sentences = (HERE / 'ordinary.txt').read_text().splitlines()
  result = {
    'model': flags.tuned.name if flags.tuned else flags.base.name,
    **{k: summary(v) for k, v in on_sentences(tuned, base, sentences).items()},
    'answered': summary(answered(tuned, _questions())),
    'length': summary(lengths(tuned)),
  }
  flags.out.write_text(json.dumps(result, indent=1) + '\n')
  print(json.dumps(result, indent=1))


def on_sentences(
  tuned: Model, base: Model, sentences: list[str]
) -> dict[str, list[float]]:
  """Returns loss, kl and entropy: of each sentence the mean over its tokens."""
  import torch

  tokenizer = tuned.tokenizer
  tokenizer.padding_side = 'right'
  found: dict[str, list[float]] = {'loss': [], 'kl': [], 'entropy': []}
  for first in range(0, len(sentences), BATCH):
    rows = tokenizer(
      sentences[first : first + BATCH], return_tensors='pt', padding=True
    ).to(tuned.model.device)
    with torch.inference_mode():
      policy = _log_probs(tuned, rows)
      reference = policy if tuned is base else _log_probs(base, rows)
      numbers = {
        'loss': -policy.gather(-1, rows['input_ids'][:, 1:, None])[..., 0],
        'kl': (policy.exp() * (policy - reference)).sum(-1),
        'entropy': -(policy.exp() * policy).sum(-1),
      }
    mask = rows['attention_mask'][:, 1:]
    for name, of_tokens in numbers.items():
      means = (of_tokens * mask).sum(-1) / mask.sum(-1)
      found[name] += means.tolist()
  return found


def _log_probs(of: Model, rows: Any) -> Any:
  """The log-probabilities [B, T − 1, V] of the tokens behind the first ones."""
  return of.model(**rows).logits[:, :-1].double().log_softmax(-1)


def answered(of: Model, questions: list[dict]) -> list[float]:
  """Returns 1 for each question whose first line is a right answer, else 0."""
  starts = [f'{EXAMPLES}Q: {one["question"]}\nA:' for one in questions]
  said = answers(of, starts, 8, sample=False)
  return [
    float(plain(text) in map(plain, one['answers']))
    for (text, _), one in zip(said, questions, strict=True)
  ]


def plain(answer: str) -> str:
  """Returns the first line in lower case, without marks around it."""
  first = answer.strip().partition('\n')[0]
  return first.strip(string.punctuation + string.whitespace).lower()


def lengths(of: Model) -> list[float]:
  """Returns the tokens of an answer to each of some plain requests."""
  asked = [
    in_chat(of.tokenizer, REQUESTS[i % len(REQUESTS)].format(topic))
    for i, topic in enumerate(topics(held_out=True)[:REQUESTED])
  ]
  return [float(count) for _, count in answers(of, asked, LONGEST, sample=True)]


def summary(numbers: list[float]) -> dict[str, float]:
  """Returns mean, standard error and count."""
  error = statistics.stdev(numbers) / len(numbers) ** 0.5
  return {
    'mean': statistics.fmean(numbers),
    'error': error,
    'count': len(numbers),
  }


def _questions() -> list[dict]:
  lines = (HERE / 'questions.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


def _flags() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--base', type=pathlib.Path, required=True)
  parser.add_argument('--tuned', type=pathlib.Path)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  return parser.parse_args()


if __name__ == '__main__':
  try:
    main()
  except InputError as error:
    sys.exit(str(error))
