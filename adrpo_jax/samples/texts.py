"""Texts, the answers of a language model, as the medium of a run."""

from collections.abc import Callable, Sequence
import functools
import json
from typing import Any

from etils import epath
import numpy as np

from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.samples import text_file
from adrpo_jax.samples.sample_kind import Arrays, Medium
from adrpo_jax.types import Array, PyTree

Spell = Callable[[Sequence[int]], str]


def texts(answer: Spell, piece: Spell) -> Medium:
  """The medium of a tokenizer.

  Args:
    answer: tokens -> the text that rewards see, without special tokens.
    piece: one token -> its text, as a report shows it.
  """
  return Medium(
    seen=_seen,
    diagnosed=('log_ratio',),
    keep=functools.partial(_keep, answer, piece),
    write=functools.partial(_write, answer),
    logged=_logged,
    noun='answers',
  )


def answers_of(answer: Spell, arrays: Arrays) -> np.ndarray:
  """Tokens and mask [P, G, T] -> their texts [P, G]."""
  tokens, mask = arrays['tokens'], arrays['mask']
  said = [
    [answer(row[real]) for row, real in zip(*group, strict=True)]
    for group in zip(tokens, mask, strict=True)
  ]
  return np.array(said, dtype=object)


def _seen(samples: PyTree) -> dict[str, Array]:
  return {name: samples[name] for name in ('tokens', 'mask', 'ended')}


def _keep(
  answer: Spell,
  piece: Spell,
  path: epath.Path,
  arrays: Arrays,
  prompts: PromptSet,
) -> None:
  """Answers with their scores, and their tokens' log π/π_ref."""
  tokens, mask = arrays['tokens'], arrays['mask']
  spelt = {int(token): piece([int(token)]) for token in np.unique(tokens)}
  pieces = [
    spelt[int(token)] if real else ''
    for token, real in zip(tokens.flat, mask.flat, strict=True)
  ]
  rewards = arrays['rewards']
  success = arrays.get('success', rewards >= 1) > 0.5
  said = answers_of(answer, arrays)
  text_file.write(
    path,
    text_file.TextSamples(
      answers=said.astype(str),
      prompts=np.array(prompts.texts),
      categories=np.array(prompts.categories),
      rewards=rewards,
      success=success,
      verdicts=np.where(arrays['ended'], '', 'cut short'),
      pieces=np.array(pieces).reshape(tokens.shape),
      divergences=np.where(mask, arrays['log_ratio'], 0.0),
    ),
  )


def _write(
  answer: Spell, folder: epath.Path, prompts: Sequence[str], arrays: Arrays
) -> None:
  """A line of answers.jsonl for each prompt; they are printed too."""
  said = answers_of(answer, arrays)
  lines = [
    {'prompt': text, 'answers': list(row)}
    for text, row in zip(prompts, said, strict=True)
  ]
  (folder / 'answers.jsonl').write_text(
    ''.join(json.dumps(line, ensure_ascii=False) + '\n' for line in lines)
  )
  for line in lines:
    print(line['prompt'], *(f'  {a}' for a in line['answers']), sep='\n')


def _logged(path: epath.Path) -> dict[str, Any]:
  """A table of the answers of a kept file, a row for each."""
  import wandb

  kept = text_file.read(path)
  names = ('category', 'prompt', 'answer', 'reward', 'success')
  rows = [
    [
      *(str(kept.categories[p]), str(kept.prompts[p]), str(kept.answers[p, g])),
      *(float(kept.rewards[p, g]), bool(kept.success[p, g])),
    ]
    for p, g in np.ndindex(kept.answers.shape)
  ]
  return {'samples': wandb.Table(columns=list(names), data=rows)}
