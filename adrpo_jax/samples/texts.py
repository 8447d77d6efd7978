"""Answers of a language model: what a run keeps of them, writes and logs."""

from collections.abc import Callable, Sequence
import json
from typing import Any

from etils import epath
import numpy as np

from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.models.decoder.chat_tokenizer import ChatTokenizer
from adrpo_jax.samples import text_file
from adrpo_jax.samples.clips import Clip
from adrpo_jax.samples.image_file import Arrays, succeeded
from adrpo_jax.types import Array, PyTree

# (prompts) -> the sound of each, () of prompts without any
Clips = Callable[[PromptSet], tuple[Clip, ...]]
# (prompts, answers [P, G]) -> the words of a judge [P, G], '' for none
Verdicts = Callable[[PromptSet, np.ndarray], np.ndarray]


def arrays(samples: PyTree) -> dict[str, Array]:
  """What a run keeps of the samples of a language model."""
  return {name: samples[name] for name in ('tokens', 'mask', 'ended')}


def answers_of(tokenizer: ChatTokenizer, fields: Arrays) -> np.ndarray:
  """Tokens and mask [P, G, T] -> their texts [P, G]."""
  tokens, mask = fields['tokens'], fields['mask']
  answers = [
    [tokenizer.decode(row[real]) for row, real in zip(*group, strict=True)]
    for group in zip(tokens, mask, strict=True)
  ]
  return np.array(answers, dtype=object)


def no_clips(prompts: PromptSet) -> tuple[Clip, ...]:
  """The clips of prompts that are read alone."""
  del prompts
  return ()


def no_verdicts(prompts: PromptSet, answers: np.ndarray) -> np.ndarray:
  """The words of a judge that has none."""
  del prompts
  return np.full(answers.shape, '')


def make_verdicts(verdict: Callable[[str, str, str], str]) -> Verdicts:
  """Makes verdicts of (prompt, answer, right answer) -> the judge's words."""

  def verdicts(prompts: PromptSet, answers: np.ndarray) -> np.ndarray:
    rows = zip(prompts.texts, prompts.answers, answers, strict=True)
    words = [
      [verdict(text, answer, right or '') for answer in row]
      for text, right, row in rows
    ]
    return np.array(words)

  return verdicts


def keep(
  tokenizer: ChatTokenizer,
  path: epath.Path,
  fields: Arrays,
  prompts: PromptSet,
  *,
  clips: Clips = no_clips,
  verdicts: Verdicts = no_verdicts,
) -> None:
  """Writes answers with their scores, and their tokens' log π/π_ref.

  Args:
    tokenizer: spells the tokens.
    path: of the file.
    fields: what `arrays` names, with the scores.
    prompts: the P prompts.
    clips: the sound that belongs to them.
    verdicts: the words of a judge about each answer.
  """
  tokens, mask = fields['tokens'], fields['mask']
  piece = tokenizer.decode_raw
  spelt = {int(token): piece([int(token)]) for token in np.unique(tokens)}
  pieces = [
    spelt[int(token)] if real else ''
    for token, real in zip(tokens.flat, mask.flat, strict=True)
  ]
  answers = answers_of(tokenizer, fields)
  text_file.write(
    path,
    text_file.TextSamples(
      answers=answers.astype(str),
      prompts=np.array(prompts.texts),
      categories=np.array(prompts.categories),
      rewards=fields['rewards'],
      success=succeeded(fields),
      verdicts=_with_ends(verdicts(prompts, answers), fields['ended']),
      pieces=np.array(pieces).reshape(tokens.shape),
      divergences=np.where(mask, fields['log_ratio'], 0.0),
      clips=clips(prompts),
    ),
  )


def _with_ends(verdicts: np.ndarray, ended: np.ndarray) -> np.ndarray:
  """Returns verdicts [P, G] that say which answers did not end."""
  ends = np.where(ended, '', 'cut short')
  pairs = zip(verdicts.flat, ends.flat, strict=True)
  joined = [' · '.join(filter(None, map(str, pair))) for pair in pairs]
  return np.array(joined, np.str_).reshape(ended.shape)


def write(
  tokenizer: ChatTokenizer,
  folder: epath.Path,
  prompts: PromptSet,
  fields: Arrays,
) -> None:
  """Writes a line of answers.jsonl for each prompt, and prints it.

  A line has the prompt, the file of its sound if there is one, and the answers.
  """
  answers = answers_of(tokenizer, fields)
  sounds: Sequence[dict[str, str]] = [{}] * len(prompts.texts)
  if prompts.audio is not None:
    sounds = [{'audio': name} for name in prompts.audio]
  lines = [
    {'prompt': text, **sound, 'answers': list(row)}
    for text, sound, row in zip(prompts.texts, sounds, answers, strict=True)
  ]
  (folder / 'answers.jsonl').write_text(
    ''.join(json.dumps(line, ensure_ascii=False) + '\n' for line in lines),
    encoding='utf-8',
  )
  for line in lines:
    print(line['prompt'], *(f'  {a}' for a in line['answers']), sep='\n')


def logged(path: epath.Path) -> dict[str, Any]:
  """A table of the answers of a kept file, a row for each."""
  import wandb

  samples = text_file.read(path)
  columns = {
    'category': lambda p, g: str(samples.categories[p]),
    'prompt': lambda p, g: str(samples.prompts[p]),
    'answer': lambda p, g: str(samples.answers[p, g]),
    'reward': lambda p, g: float(samples.rewards[p, g]),
  }
  if (success := samples.success) is not None:
    columns['success'] = lambda p, g: bool(success[p, g])
  rows = [
    [cell(*index) for cell in columns.values()]
    for index in np.ndindex(samples.answers.shape)
  ]
  return {'samples': wandb.Table(columns=list(columns), data=rows)}
