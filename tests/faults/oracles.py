"""What a damaged file says, found by other means than those of the package.

They are as strict as the formats: where an oracle finds no value, a reader may
not return one.
"""

import csv
import io
import json
import re

import ml_dtypes
import numpy as np

DTYPES = {
  'F32': np.float32,
  'F16': np.float16,
  'BF16': ml_dtypes.bfloat16,
  'I32': np.int32,
  'I64': np.int64,
  'U8': np.uint8,
  'BOOL': np.bool_,
}


def safetensors(content: bytes) -> dict[str, np.ndarray]:
  """The arrays of a safetensors file, by its specification."""
  size = int.from_bytes(content[:8], 'little')
  header = json.loads(content[8 : 8 + size])
  header.pop('__metadata__', None)
  data, arrays = content[8 + size :], {}
  for name, entry in header.items():
    begin, end = entry['data_offsets']
    dtype = np.dtype(DTYPES[entry['dtype']])
    assert 0 <= begin <= end <= len(data)
    arrays[name] = np.frombuffer(data[begin:end], dtype).reshape(entry['shape'])
  return arrays


def lines(content: bytes) -> list[str]:
  """The lines of a text in UTF-8, which may end in any of three ways."""
  text = content.decode('utf-8-sig')
  return [line for line in re.split(r'\r\n|\r|\n', text) if line.strip()]


def json_lines(content: bytes) -> list[dict]:
  """The objects of a .jsonl file."""
  return [json.loads(line) for line in lines(content)]


def table(content: bytes, delimiter: str) -> list[dict]:
  """The rows of a table that have cells."""
  text = content.decode('utf-8-sig')
  quoting = csv.QUOTE_MINIMAL if delimiter == ',' else csv.QUOTE_NONE
  # With universal ends of lines, as a file is opened.
  text = re.sub(r'\r\n|\r', '\n', text)
  rows = csv.reader(
    io.StringIO(text, newline=''), delimiter=delimiter, quoting=quoting
  )
  filled = [row for row in rows if any(cell.strip() for cell in row)]
  header = [name.strip().lower() for name in filled[0]]
  return [dict(zip(header, row, strict=False)) for row in filled[1:]]


def same(a, b) -> bool:
  """Tells if two values are equal in type, shape and every bit."""
  if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
    a, b = np.asarray(a), np.asarray(b)
    return (a.dtype, a.shape) == (b.dtype, b.shape) and (
      a.tobytes() == b.tobytes()
    )
  if isinstance(a, dict) and isinstance(b, dict):
    return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
  if isinstance(a, list | tuple) and isinstance(b, list | tuple):
    return len(a) == len(b) and all(map(same, a, b))
  if isinstance(a, float) and isinstance(b, float):
    return a == b or (a != a and b != b)
  return type(a) is type(b) and a == b
