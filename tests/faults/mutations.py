"""Seeded damage to files: of their bytes, their lines and their structure.

What a disk, a network, an editor or another program does to a file: cut it,
flip bits, repeat or move a part, change one value for another of any kind.
"""

import copy
import json
import pathlib

import numpy as np

DEEP = '[' * 100_000
# Values that another program, or a hand, may put in the place of one.
VALUES = (
  *(None, True, False, 0, 1, -1, 2, 7, 0.5, -0.5, 1e-300, 1e308),
  *(2**31, 2**63, -(2**63), 10**30, float('nan'), float('inf')),
  *('', ' ', 'x', '1', 'nan', 'null', 'ä', '\x00', '\ud800', '\U0001f642'),
  *('../../x', '/dev/null', '~', 'x' * 5000),
  *([], {}, [[]], [None], [1, 2, 3], ['a'], {'a': 1}, {'': None}),
  *([[1.0] * 7] * 7, [0] * 300),
)
SPANS = (
  *(b'\x00', b'\xff', b'\n', b'\r', b'\r\n', b'"', b'{', b'}', b'[', b']'),
  *(b',', b':', b'\xef\xbb\xbf', b'\xed\xa0\x80', b'NaN', b'-', b'1e999'),
  *(b'\xe2\x80\xa8', b'\x1a', b'\\u0000', b'\\ud83d', b'null', b'\t'),
)


def mutate(content: bytes, name: str, rng: np.random.Generator) -> bytes:
  """Returns the content of a file with one to three changes."""
  changed = content
  for _ in range(rng.integers(1, 4)):
    structured = structure(name) if rng.random() < 0.6 else None
    changed = (structured or of_bytes)(changed, rng)
  return changed


def structure(name: str):
  """Returns the mutation of the structure that files of a name have, or None.

  A file that has lost its structure is damaged by bytes.
  """
  table = {
    '.json': of_json,
    '.jsonl': of_lines(of_json),
    '.txt': of_lines(of_bytes),
    '.csv': of_lines(of_bytes),
    '.tsv': of_lines(of_bytes),
    '.safetensors': of_safetensors,
  }
  return table.get(pathlib.Path(name).suffix)


def of_bytes(content: bytes, rng: np.random.Generator) -> bytes:
  """Cuts, flips, repeats, moves or replaces a few bytes."""
  data = bytearray(content)
  at, end = sorted(rng.integers(0, len(data) + 1, 2).tolist())
  near = min(len(data), at + int(rng.integers(1, 9)))
  span = SPANS[rng.integers(len(SPANS))]
  match rng.integers(9):
    case 0:
      del data[at:]
    case 1:
      del data[at:near]
    case 2:
      data[at:at] = span
    case 3:
      data[at:near] = span
    case 4 if data:
      for place in rng.integers(0, len(data), rng.integers(1, 5)):
        data[place] ^= 1 << int(rng.integers(8))
    case 5:
      data[at:end] = bytes(end - at)
    case 6:
      data[end:end] = data[at:end]
    case 7:
      data[at:near] = rng.bytes(near - at)
    case 8 if rng.random() < 0.2:
      data.clear()
    case _:
      data += rng.bytes(int(rng.integers(1, 40)))
  return bytes(data)


def of_lines(within):
  """Returns the mutation that drops, repeats or swaps lines, or changes one."""

  def mutate_lines(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    if not lines:
      return of_bytes(content, rng)
    i, j = rng.integers(0, len(lines), 2)
    match rng.integers(7):
      case 0:
        del lines[i]
      case 1:
        lines.insert(i, lines[j])
      case 2:
        lines[i], lines[j] = lines[j], lines[i]
      case 3:
        lines.insert(i, b'\n')
      case 4:
        lines[i] = lines[i].rstrip(b'\n') + b'\r'
      case _:
        lines[i] = within(lines[i].rstrip(b'\n'), rng) + b'\n'
    return b''.join(lines)

  return mutate_lines


def of_json(content: bytes, rng: np.random.Generator) -> bytes:
  """Changes, drops, renames or wraps one value of JSON."""
  try:
    tree = json.loads(content)
  except (ValueError, RecursionError):
    return of_bytes(content, rng)
  return json.dumps(of_tree(tree, rng)).replace('"DEEP"', DEEP).encode()


def of_safetensors(content: bytes, rng: np.random.Generator) -> bytes:
  """Changes the header, whose length stays right."""
  size = int.from_bytes(content[:8], 'little')
  if len(content) < 8 + size:
    return of_bytes(content, rng)
  header = of_json(content[8 : 8 + size], rng)
  return len(header).to_bytes(8, 'little') + header + content[8 + size :]


def of_tree(tree, rng: np.random.Generator):
  """Returns a tree of JSON with one change."""
  box = [copy.deepcopy(tree)]
  holder, key = box, 0
  while rng.random() < 0.85:
    inner = holder[key]
    if isinstance(inner, dict) and inner:
      holder, key = inner, list(inner)[rng.integers(len(inner))]
    elif isinstance(inner, list) and inner:
      holder, key = inner, int(rng.integers(len(inner)))
    else:
      break
  value = holder[key]
  match rng.integers(8):
    case 0 if holder is not box:
      del holder[key]
    case 1 if isinstance(holder, dict):
      del holder[key]
      holder[f'{key}x' if rng.random() < 0.5 else key.upper()] = value
    case 2:
      holder[key] = [value]
    case 3 if isinstance(value, int | float) and value == value:
      factors = (-1, 0, 2, 1000, 0.5, 1.0)
      holder[key] = value * factors[rng.integers(len(factors))]
    case 4 if rng.random() < 0.1:
      holder[key] = 'DEEP'
    case 5 if isinstance(value, list) and value:
      holder[key] = value + [value[rng.integers(len(value))]]
    case _:
      holder[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
  return box[0]
