"""Strings of all kinds, for what must not break on any of them."""

import numpy as np

ODD = (
  '',
  ' ',
  '\n',
  '\0',
  '\ud800',
  '٣ ٣',
  '３',
  '<eos>',
  '9' * 5000,
  '{' * 99,
)


def strings(pieces, count, *, seed=0, longest=12):
  """`ODD`, and `count` random strings of given pieces and any characters."""
  rng = np.random.default_rng(seed)
  made = list(ODD)
  for _ in range(count):
    number = rng.integers(longest + 1)
    made.append(
      ''.join(
        pieces[rng.integers(len(pieces))]
        if rng.random() < 0.8
        else chr(rng.integers(0x11000))
        for _ in range(number)
      )
    )
  return made
