"""The pages of the documentation, and their blocks of code."""

import pathlib
import re
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
PAGES = (
  ROOT / 'README.md',
  ROOT / 'CONTRIBUTING.md',
  *sorted((ROOT / 'docs').glob('*.md')),
)
_BLOCK = re.compile(
  r'^(?P<marks>(?:<!--.*?-->\n)*)```(?P<kind>[\w{}-]*)\n(?P<text>.*?)^```$',
  re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r'`((?:\w+=\S+ )*(?:python -m adrpo_jax|adrpo-jax)[^`]+)`')
# What a block of another kind may be: nothing that anybody would run.
SHOWN = {'', 'text', 'bibtex', '{toctree}', '{include}', '{eval-rst}', 'html'}


class Block(NamedTuple):
  """A fenced block of code: where it stands, its kind, its text.

  not_run: why it is not run, from a comment `<!-- not run: … -->` before it
  """

  page: pathlib.Path
  line: int
  kind: str
  text: str
  not_run: str

  @property
  def name(self):
    """For messages and test ids: README.md:12."""
    return f'{self.page.name}:{self.line}'


def blocks(page):
  """All fenced blocks of a page, in their order."""
  text = page.read_text()
  listed = []
  for match in _BLOCK.finditer(text):
    line = text.count('\n', 0, match.start('kind')) + 1
    why = re.search(r'<!-- not run: (.*?) -->', match['marks'])
    reason = why[1] if why else ''
    listed.append(Block(page, line, match['kind'], match['text'], reason))
  return listed


def inline_commands(page):
  """Commands of ours within a line of prose or a table."""
  text = _BLOCK.sub('', page.read_text())
  return [c.replace('\n', ' ') for c in _INLINE.findall(text)]
