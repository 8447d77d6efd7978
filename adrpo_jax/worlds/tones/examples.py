"""Pre-training data of the tones world: items and completions, some wrong.

A model that fits these answers right with probability 1 − `wrong_share` when it
is sampled at temperature 1, as far as it hears. Of the wrong answers one half
follow from a kind that was misheard, and the other half from nothing. So a
policy has both to gain: to hear better, and to answer what it heard.
"""

from collections.abc import Sequence

import numpy as np

from adrpo_jax.worlds.tones import questions
from adrpo_jax.worlds.tones.clips import Clip, from_address
from adrpo_jax.worlds.tones.events import EVENTS
from adrpo_jax.worlds.tones.items import (
  Draw,
  Item,
  completion,
  items,
  make_item,
)
from adrpo_jax.worlds.tones.judge import stated

WRONG_SHARE = 0.42  # of the completions
TRIES = 20  # to mishear a kind in a way that changes the answer
PLAIN_SHARE = 0.05  # of the completions: an answer without a thought


def examples(
  count: int,
  seed: int,
  *,
  wrong_share: float = WRONG_SHARE,
  plain_share: float = PLAIN_SHARE,
) -> list[tuple[Item, str]]:
  """Draws (item, completion) of the training split, a share of them wrong.

  The clips are those of `items`, and the questions about them are drawn anew.
  """
  rng = np.random.default_rng(seed)
  listed = items('train')

  def draw(n: int) -> int:
    return int(rng.integers(n))

  made = []
  for _ in range(count):
    item = ask(from_address(listed[draw(len(listed))].audio), draw)
    text = item.answer
    if rng.random() < wrong_share:
      text = wrong(item, draw)
    if rng.random() < plain_share:
      text = text.partition('</think> ')[2]
    made.append((item, text))
  return made


def ask(clip: Clip, draw: Draw) -> Item:
  """Asks a question about a clip, at random among those that have an answer.

  Of the forms of a question, each answer is as frequent as the others.
  """
  while True:
    listed = questions.QUESTIONS[clip.category]
    by_answer: dict[str, list[questions.Question]] = {}
    for question in listed[draw(len(listed))]:
      gold = question.answer(clip.kinds)
      if gold is not None:
        by_answer.setdefault(gold, []).append(question)
    if by_answer:
      forms = list(by_answer.values())[draw(len(by_answer))]
      return make_item(forms[draw(len(forms))], clip, draw)


def wrong(item: Item, draw: Draw) -> str:
  """Makes a wrong completion in the right format, misheard or mistaken."""
  category, question, options = questions.read(item.text)
  kinds, gold = stated(item.answer)
  for _ in range(draw(2) * TRIES):
    heard = misheard(category, kinds, draw)
    follows = question.answer(heard)
    if follows in options and follows != gold:
      return completion(heard, str(follows))
  others = [option for option in options if option != gold]
  return completion(kinds, others[draw(len(others))])


def misheard(
  category: str, kinds: Sequence[str], draw: Draw
) -> tuple[str, ...]:
  """Returns the kinds with one replaced by another of its category."""
  place = draw(len(kinds))
  others = [kind for kind in EVENTS[category] if kind != kinds[place]]
  return (*kinds[:place], others[draw(len(others))], *kinds[place + 1 :])
