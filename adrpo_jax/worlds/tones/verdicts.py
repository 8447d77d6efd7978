"""The judge's words about a reply: what it heard, event by event."""

import itertools

from adrpo_jax.worlds.tones.clips import from_address
from adrpo_jax.worlds.tones.judge import judge, stated


def verdict(text: str, reply: str, answer: str) -> str:
  """Returns the transcription of a reply, each kind with ✓ or what it was.

  'beep ✓ hiss ✗ (buzz) · missed beep · consistent' is said of a transcription
  'beep hiss' for a beep, a buzz and a beep, and an answer that follows from it.

  Raises:
    ValueError: see `judge`.
  """
  facts = judge(text, reply, answer)
  said, truth = stated(reply).kinds, stated(answer).kinds
  pairs = list(itertools.zip_longest(said, truth))
  heard = ' '.join(_event(s, t) for s, t in pairs if s is not None)
  missed = ' '.join(t for s, t in pairs if s is None)
  parts = [heard or 'no thought', f'missed {missed}' if missed else '']
  if said:
    parts.append('consistent' if facts['consistent'] else 'not consistent')
  return ' · '.join(filter(None, parts))


def _event(said: str, truth: str | None) -> str:
  if said == truth:
    return f'{said} ✓'
  return f'{said} ✗ ({truth or "nothing"})'


def heard(address: str) -> str:
  """Returns the kinds of a clip in order: 'beep buzz beep'."""
  return ' '.join(from_address(address).kinds)
