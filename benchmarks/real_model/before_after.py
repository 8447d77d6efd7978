"""Writes a page of answers before and after training, each with its verdict.

  python benchmarks/real_model/before_after.py --base=smollm2 --tuned=RUN \\
    --out=answers.md

The prompts are held out, of the grammar of instructions; answers are drawn at
temperature 1 with one seed, the same for both models. Below the page's table of
shares stand the first prompts with both answers: none is chosen by hand.
"""

import argparse
from collections.abc import Sequence
import pathlib
import sys

from adrpo_jax.errors import InputError
from adrpo_jax.worlds.instructions.constraints import Constraint
from adrpo_jax.worlds.instructions.grammar import Instruction, instructions
from benchmarks.real_model.models import answers, in_chat, load

LONGEST = 48  # tokens of an answer, as in training


def main() -> None:
  """Draws the answers of both models and writes the page."""
  flags = _flags()
  asked = instructions('held_out', flags.prompts)
  said = []
  for folder in (flags.base, flags.tuned):
    model = load(folder)
    starts = [in_chat(model.tokenizer, one.text) for one in asked]
    drawn = answers(model, starts, LONGEST, sample=True)
    said.append([text for text, _ in drawn])
  flags.out.write_text(page(asked, *said, flags.shown), encoding='utf-8')


def page(
  asked: Sequence[Instruction],
  before: Sequence[str],
  after: Sequence[str],
  shown: int,
) -> str:
  """Returns the page as Markdown; answers stand in it as they are."""
  lines = ['# Answers before and after', '', *_table(asked, before, after)]
  for one, *texts in list(zip(asked, before, after, strict=True))[:shown]:
    lines += ['', f'> {one.text}', '']
    for name, text in zip(('before', 'after'), texts, strict=True):
      marks = ', '.join(
        f'{c.kind} {"met" if c.met(text) else "missed"}'
        for c in one.constraints
      )
      lines += [f'*{name}*: {marks}', '', _fenced(text), '']
  return '\n'.join(lines).rstrip() + '\n'


def _table(
  asked: Sequence[Instruction], before: Sequence[str], after: Sequence[str]
) -> list[str]:
  """The share that is met, of all constraints of a prompt and of each kind."""
  both = before, after
  rows = [('all of a prompt', *(share_of_all(asked, said) for said in both))]
  kinds = sorted({c.kind for one in asked for c in one.constraints})
  for kind in kinds:
    pairs = (share_of_kind(kind, asked, said) for said in both)
    rows.append((f'`{kind}`', *pairs))
  count = f'{len(asked)} held-out prompts, one answer each.'
  head = ['| constraints met | before | after |', '|---|---:|---:|']
  body = [f'| {name} | {b:.0%} | {a:.0%} |' for name, b, a in rows]
  return [count, '', *head, *body]


def share_of_all(asked: Sequence[Instruction], said: Sequence[str]) -> float:
  """Returns the share of prompts whose constraints are all met."""
  met = [
    all(c.met(text) for c in one.constraints)
    for one, text in zip(asked, said, strict=True)
  ]
  return sum(met) / len(met)


def share_of_kind(
  kind: str, asked: Sequence[Instruction], said: Sequence[str]
) -> float:
  """Returns the share of constraints of a kind that are met."""

  def of_kind(one: Instruction) -> list[Constraint]:
    return [c for c in one.constraints if c.kind == kind]

  met = [
    c.met(text)
    for one, text in zip(asked, said, strict=True)
    for c in of_kind(one)
  ]
  return sum(met) / len(met)


def _fenced(text: str) -> str:
  """A text as it is, between fences that are longer than any in it."""
  fence = '```'
  while fence in text:
    fence += '`'
  return f'{fence}text\n{text}\n{fence}'


def _flags() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--base', type=pathlib.Path, required=True)
  parser.add_argument('--tuned', type=pathlib.Path, required=True)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  parser.add_argument('--prompts', type=int, default=100, help='of the table')
  parser.add_argument('--shown', type=int, default=12, help='with answers')
  return parser.parse_args()


if __name__ == '__main__':
  try:
    main()
  except InputError as error:
    sys.exit(str(error))
