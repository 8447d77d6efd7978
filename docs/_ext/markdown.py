"""Small pieces of Markdown."""

from collections.abc import Sequence
import re
from typing import Any

from adrpo_jax.system.config_values import Values


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """A table; bars within cells are escaped."""
  lines = [header, ['---'] * len(header), *rows]
  return '\n'.join(
    '| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) + ' |'
    for line in lines
  )


def code(value: Any) -> str:
  """A value of Python as code."""
  return f'`{value!r}`'


def described(values: Values) -> str:
  """The values of a config key in words, names as code."""
  return re.sub(r"('[^']*')", r'`\1`', values.described())


def linked(source: str) -> str:
  """The text with its addresses and arXiv numbers as links."""
  text = re.sub(r'`([^`]+?)\s+<(http[^`>]+)>`_', r'[\1](\2)', source)
  text = re.sub(r'(?<![(<])(https?://[^\s)>,;]+[^\s)>,;.:])', r'<\1>', text)
  return re.sub(
    r'arXiv:(\d{4}\.\d{5})', r'[arXiv:\1](https://arxiv.org/abs/\1)', text
  )
