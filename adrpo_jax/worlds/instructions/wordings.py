"""How prompts say a constraint: the values it is drawn from, and sentences.

Kinds that a model of 135M weights meets with hardly any sample are not asked
for: uppercase, title, quoted and json_object.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Wording(NamedTuple):
  """One way to ask for a constraint.

  fields:    those of the constraint that are drawn, each from its values
  sentences: any of them says it; a field in braces stands for its value
  """

  fields: Mapping[str, tuple[Any, ...]]
  sentences: tuple[str, ...]


# Kind -> its wordings, each as likely as the others.
WORDINGS: dict[str, tuple[Wording, ...]] = {
  'words': (
    Wording(
      {'at_most': (10, 15, 20, 25, 30)},
      (
        'Use at most {at_most} words.',
        'Use no more than {at_most} words.',
        'Keep it to {at_most} words or fewer.',
      ),
    ),
    Wording(
      {'at_least': (5, 10, 15, 20)},
      (
        'Use at least {at_least} words.',
        'Write {at_least} words or more.',
        'Do not use fewer than {at_least} words.',
      ),
    ),
  ),
  'sentences': (
    Wording(
      {'exactly': (1, 2)},
      (
        'The number of sentences must be {exactly}.',
        'Count your sentences: there must be exactly {exactly}.',
      ),
    ),
    Wording(
      {'at_most': (2, 3)},
      (
        'Use at most {at_most} sentences.',
        'Write no more than {at_most} sentences.',
      ),
    ),
  ),
  'bullets': (
    Wording(
      {'exactly': (2, 3)},
      (
        'Answer with a list of exactly {exactly} lines that begin with "- ".',
        'Give exactly {exactly} bullet points, each on a line with "- ".',
      ),
    ),
  ),
  'numbered': (
    Wording(
      {'exactly': (2, 3)},
      (
        'Answer with a numbered list of exactly {exactly} items.',
        'Give exactly {exactly} points, numbered 1., 2. and so on.',
      ),
    ),
  ),
  'starts_with': (
    Wording(
      {'text': ('Today', 'Every day', 'I think', 'Some people', 'When')},
      (
        'Start with "{text}".',
        'Begin your answer with "{text}".',
        'The first words must be "{text}".',
      ),
    ),
  ),
  'ends_with': (
    Wording(
      {'text': ('the end', 'that is all', 'thank you', 'good night')},
      (
        'End with "{text}".',
        'Finish your answer with "{text}".',
        'The last words must be "{text}".',
      ),
    ),
  ),
  'contains': (
    Wording(
      {'word': ('simple', 'time', 'life', 'new', 'world', 'morning')},
      (
        'Use the word "{word}".',
        'Include the word "{word}".',
        'The word "{word}" must be in your answer.',
      ),
    ),
  ),
  'avoids': (
    Wording(
      {'word': ('and', 'it', 'is', 'very', 'people', 'day')},
      (
        'Do not use the word "{word}".',
        'Avoid the word "{word}".',
        'The word "{word}" must not be in your answer.',
      ),
    ),
  ),
  'lowercase': (
    Wording(
      {},
      (
        'Use only small letters.',
        'Write everything in lower case.',
        'Do not use capital letters.',
      ),
    ),
  ),
  'no_comma': (
    Wording(
      {}, ('Do not use commas.', 'Use no comma.', 'Write without commas.')
    ),
  ),
  'no_digit': (
    Wording(
      {}, ('Do not use digits.', 'Use no digits.', 'Write without any digits.')
    ),
  ),
  'paragraphs': (
    Wording(
      {'exactly': (1,)},
      (
        'The number of paragraphs must be {exactly}.',
        'Write exactly {exactly} paragraph.',
      ),
    ),
  ),
}
# Kinds that no prompt asks for together, beside those that exclude each other.
LISTS = ('bullets', 'numbered')
APART = (
  set(LISTS),
  *(
    {one, other}
    for one in LISTS
    for other in ('sentences', 'paragraphs', 'starts_with')
  ),
)
