r"""The lines of a text file, on a disk or in a bucket, counted from 1.

A line ends with \n, \r\n or \r, as files of Unix, Windows and old Macs have it.
"""

import re

from etils import epath

from adrpo_jax.errors import InputError

_END = re.compile('\r\n|\r|\n')


def read_lines(path: str) -> list[str]:
  """Returns the lines of a UTF-8 file, without their ends.

  Raises:
    InputError: no readable file, another encoding, or a zero byte; names the
      line.
  """
  raw = _bytes(path)
  try:
    text = raw.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    before = raw[: error.start].decode('utf-8', 'replace')
    raise InputError(
      f'{path}, line {_count(before)}: expected UTF-8, got the byte '
      f'0x{raw[error.start]:02x}. Save the file as UTF-8.'
    ) from error
  if '\0' in text:
    line = _count(text[: text.index('\0')])
    raise InputError(
      f'{path}, line {line}: expected text, got a zero byte. Save the file as '
      'UTF-8; it looks like UTF-16 or like no text at all.'
    )
  return _END.split(text)


def filled_lines(path: str) -> list[tuple[int, str]]:
  """Returns (number, line) of the lines of a file that are not blank."""
  return [(i, x) for i, x in enumerate(read_lines(path), 1) if x.strip()]


def _count(text: str) -> int:
  return len(_END.split(text))


def _bytes(path: str) -> bytes:
  try:
    return epath.Path(path).read_bytes()
  except Exception as error:  # The clients of buckets raise their own kinds.
    raise InputError(
      f'{path}: expected a readable file of prompts, got: '
      f'{getattr(error, "strerror", None) or error}.'
    ) from error
