"""Docstrings of the package as reStructuredText, for autodoc.

The package's docstrings are plain text: equations stand indented, records list
their fields as `name:  what it is`, and names stand between single backticks.
"""

import re

FIELD = re.compile(r'^(\w[\w, ]*):\s+(\S.*)$')
COLUMNS = re.compile(r'^\S+(?:, \S+)*\s{2,}\S')
SECTION = re.compile(
  r'^(Args|Returns|Raises|Warns|Yields|Attributes|Examples?):$'
)


def setup(app):
  """Registers the hooks with Sphinx."""
  # Before napoleon, which reads the sections.
  app.connect('autodoc-process-docstring', _process, priority=400)
  app.connect('autodoc-skip-member', _skip)
  return {'parallel_read_safe': True}


def restructured(lines: list[str]) -> list[str]:
  """The lines of a docstring as reStructuredText."""
  result: list[str] = []
  in_section = False
  for block in _blocks(lines):
    if SECTION.match(block[0]):
      in_section = True
    elif not block[0].startswith(' '):
      in_section = False
    result += [*(_escaped_all(block) if in_section else _prose(block)), '']
  return result


def _process(app, what, name, obj, options, lines):
  lines[:] = restructured(lines)


def _skip(app, what, name, obj, skip, options):
  # The fields of a NamedTuple stand in its docstring.
  return True if type(obj).__name__ == '_tuplegetter' else None


def _blocks(lines: list[str]) -> list[list[str]]:
  """The paragraphs: lines between empty ones."""
  text = '\n'.join(lines).strip('\n')
  return [b.split('\n') for b in re.split(r'\n[ \t]*\n', text) if b.strip()]


def _prose(block: list[str]) -> list[str]:
  if block[0].lstrip().startswith('>>>'):
    return block
  if all(line.startswith('  ') for line in block):
    return ['::', '', *(f'  {line}' for line in block)]
  if sum(bool(FIELD.match(line)) for line in block) > 1 and FIELD.match(
    block[0]
  ):
    return _fields(block)
  if sum(bool(COLUMNS.match(line)) for line in block) > 1:
    return ['::', '', *(f'  {line}' for line in block)]
  if len(block) > 1 and re.match(r' +[=+−] ', block[1]):  # An equation.
    return ['::', '', *(f'  {line}' for line in block)]
  # A lead line, and indented lines under it.
  for index, line in enumerate(block[1:], 1):
    if line.startswith('  '):
      return [*_escaped_all(block[:index]), '', *_prose(block[index:])]
  return _escaped_all(block)


def _fields(block: list[str]) -> list[str]:
  """`name:  text` with its continuation lines, as a list."""
  items: list[list[str]] = []
  for line in block:
    match = FIELD.match(line)
    if match:
      items.append([f'`{match[1]}`:', match[2]])
    else:
      items[-1].append(line.strip())
  return [_escaped(f'- {" ".join(item)}') for item in items]


def _escaped_all(block: list[str]) -> list[str]:
  """The lines with markup escaped, up to an example, which stays as it is."""
  starts = [
    i for i, line in enumerate(block) if line.lstrip().startswith('>>>')
  ]
  example = starts[0] if starts else len(block)
  text = _escaped('\n'.join(block[:example]))
  return [*text.split('\n'), *block[example:]]


def _escaped(text: str) -> str:
  """Markup characters as they stand; `name` as code; links as they are."""
  parts = re.split(r'(`[^`]+ <http[^`]+>`_|``[^`]+``|`[^`]+`)', text)
  return ''.join(
    part
    if part.endswith('>`_')
    else f'``{part.strip("`")}``'
    if part.startswith('`')
    else _plain(part)
    for part in parts
  )


def _plain(text: str) -> str:
  text = re.sub(r'([*|\\])', r'\\\1', text)
  return re.sub(r'_(?=\W|$)', r'\\_', text)
