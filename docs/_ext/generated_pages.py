"""Writes what the pages take from the code, before Sphinx reads them.

Tables of methods, config keys and rewards go to docs/_generated; the pages
include them from there.
"""

import pathlib

import config_tables
import method_tables
import reward_tables


def setup(app):
  """Registers the hook with Sphinx."""
  app.connect('builder-inited', lambda app: write(pathlib.Path(app.srcdir)))
  return {'parallel_read_safe': True}


def write(docs: pathlib.Path) -> None:
  """Writes the generated parts that differ from those on the disk."""
  folder = docs / '_generated'
  folder.mkdir(exist_ok=True)
  parts = {
    **method_tables.parts(docs.parent / 'configs'),
    **config_tables.parts(docs.parent / 'configs'),
    **reward_tables.parts(),
  }
  for name, text in parts.items():
    file = folder / f'{name}.md'
    if not file.exists() or file.read_text() != text:
      file.write_text(text)
