"""The judge of the tones world: exact, for every string."""

import re
from typing import NamedTuple

from adrpo_jax.worlds.tones import questions
from adrpo_jax.worlds.tones.events import EVENTS

FACTS = ('success', 'format', 'heard', 'consistent')

_FORMAT = re.compile(r'\s*<think>[^<]+</think>\s*<answer>[^<]+</answer>\s*')
_THOUGHT = re.compile('<think>([^<]*)</think>')
_TAGGED = re.compile('<answer>([^<]*)</answer>')


class Stated(NamedTuple):
  """What a completion states: the kinds that it heard, and its answer."""

  kinds: tuple[str, ...]
  option: str | None


def stated(completion: str) -> Stated:
  """Reads the first thought and the first answer of any string."""
  thought, tagged = _THOUGHT.search(completion), _TAGGED.search(completion)
  return Stated(
    tuple(thought.group(1).split()) if thought else (),
    tagged.group(1).strip() if tagged else None,
  )


def judge(text: str, reply: str, answer: str) -> dict[str, float]:
  """Judges a reply to a prompt, whose right completion is `answer`.

    success     the tagged answer is the right option
    format      a thought and an answer, with no tag inside and nothing else
    heard       the share of the transcription that is right: kinds at their
                places, of the longer of the two lists
    consistent  the answer follows from the transcription, right or wrong
    reward      (2·success + format)/3

  For 'How often is beep heard? 1, 0, 2, 4' and a beep, a buzz and a beep,
  '<think> beep beep beep </think> <answer> 2 </answer>' has 1, 1, 2/3, 0, 1.

  Raises:
    ValueError: `text` is not a prompt of this world, or `answer` does not
      answer it.
  """
  category, question, options = questions.read(text)
  truth, said = stated(answer), stated(reply)
  gold = truth.option
  known = set(EVENTS[category])
  if gold not in options or not truth.kinds or not set(truth.kinds) <= known:
    raise ValueError(
      f'Expected the right completion of {text!r}, such as <think> kinds '
      f'</think> <answer> option </answer>, got {answer!r}.'
    )
  same = [a == b for a, b in zip(truth.kinds, said.kinds, strict=False)]
  followed = (
    question.answer(said.kinds)
    if said.kinds and set(said.kinds) <= known
    else None
  )
  success = float(said.option == gold)
  in_format = float(_FORMAT.fullmatch(reply) is not None)
  return {
    'reward': (2 * success + in_format) / 3,
    'success': success,
    'format': in_format,
    'heard': sum(same) / max(len(truth.kinds), len(said.kinds)),
    'consistent': float(followed is not None and followed == said.option),
  }
