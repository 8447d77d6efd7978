"""HTML elements of a self-contained page, which loads nothing from elsewhere.

Every function takes plain text and escapes it. A parameter named `html` takes
elements that these functions returned.
"""

import base64
from collections.abc import Iterable, Sequence
import html as escaping
import importlib.resources
import io
import string

import numpy as np

from adrpo_jax.figures.style import Drawing
from adrpo_jax.samples.image_file import SMALL, webp

THUMBNAIL_SIDE = 160  # largest side of a thumbnail in pixels
THUMBNAIL_QUALITY = 85  # of WebP
IMAGE_BYTES = 3_000_000  # about, of all images on a page together


def text(value: object) -> str:
  """Returns a value as escaped text, for an element or an attribute."""
  return escaping.escape(str(value), quote=True)


def page(title: str, *html: str) -> str:
  """Returns a whole document."""
  template = importlib.resources.files('adrpo_jax.report') / 'page.html'
  return string.Template(template.read_text(encoding='utf-8')).substitute(
    title=text(title), body='\n'.join(html)
  )


def header(eyebrow: str, title: str, lead: str, chips: Iterable[str]) -> str:
  """Returns the top of a page. *Stars* in the lead set numbers in bold."""
  marks = ''.join(f'<span>{text(chip)}</span>' for chip in chips)
  return (
    f'<header><p class="eyebrow">{text(eyebrow)}</p><h1>{text(title)}</h1>'
    f'<p class="lead">{_with_bold(lead)}</p>'
    f'<div class="chips">{marks}</div></header>'
  )


def number(line: str) -> str:
  """Returns text in which lines may break before a ± but not before a unit."""
  unbroken = text(line).replace('± ', '±&nbsp;')
  return unbroken.replace(' %', '&nbsp;%').replace(' pp', '&nbsp;pp')


def _with_bold(line: str) -> str:
  pieces = number(line).split('*')
  return ''.join(
    f'<b>{piece}</b>' if i % 2 else piece for i, piece in enumerate(pieces)
  )


def section(title: str, lead: str, *html: str) -> str:
  """Returns a section with a title and a sentence or two of explanation."""
  lead = f'<p>{_with_bold(lead)}</p>' if lead else ''
  return f'<section><h2>{text(title)}</h2>{lead}{"".join(html)}</section>'


def note(line: str) -> str:
  """Returns a line about something missing, or a warning."""
  return f'<p class="note">{text(line)}</p>'


def notes(lines: Sequence[str]) -> str:
  """Returns several notes, or '' without any."""
  return f'<div class="notes">{"".join(map(note, lines))}</div>' * bool(lines)


def grid(kind: str, html: Iterable[str]) -> str:
  """Returns cards in as many columns as fit. kind: cards, two or three."""
  return f'<div class="grid {kind}">{"".join(html)}</div>'


def key(*entries: tuple[str, str]) -> str:
  """Returns a legend of entries (CSS classes of the mark, meaning)."""
  marks = ''.join(
    f'<span><i class="{text(classes)}"></i>{text(meaning)}</span>'
    for classes, meaning in entries
  )
  return f'<div class="key">{marks}</div>'


def table(
  head: Sequence[str],
  rows: Iterable[Sequence[str]],
  *,
  own: str = '',
  dense: bool = False,
) -> str:
  """Returns a table of HTML cells. The first cell of a row is its head.

  Rows whose first cell is `own` have a tint. A dense table breaks lines in its
  cells before it scrolls.
  """
  cells = ''.join(f'<th scope="col">{text(cell)}</th>' for cell in head)
  body = ''.join(
    ('<tr class="own">' if own and row[0] == own else '<tr>')
    + f'<th scope="row">{row[0]}</th>'
    + ''.join(
      cell if cell.startswith('<td') else f'<td>{cell}</td>' for cell in row[1:]
    )
    + '</tr>'
    for row in rows
  )
  kind = ' class="dense"' if dense else ''
  return (
    f'<div class="card scroll"><table{kind}><thead><tr>'
    f'{cells}</tr></thead><tbody>{body}</tbody></table></div>'
  )


def definition_list(entries: Iterable[tuple[str, object]]) -> str:
  """Returns names and values in columns."""
  items = ''.join(
    f'<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>'
    for name, value in entries
  )
  return f'<dl class="card facts">{items}</dl>'


def folded_settings(title: str, entries: Iterable[tuple[str, object]]) -> str:
  """Returns a long list of settings that a click unfolds."""
  items = ''.join(
    f'<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>'
    for name, value in entries
  )
  return (
    f'<details class="card"><summary>{text(title)}</summary>'
    f'<dl class="config">{items}</dl></details>'
  )


def data_uri(kind: str, content: bytes) -> str:
  """Returns a file of a MIME type as the address of an element."""
  return f'data:{kind};base64,{base64.b64encode(content).decode("ascii")}'


def _data(picture: bytes) -> str:
  kind = 'webp' if picture.startswith(b'RIFF') else 'png'
  return data_uri(f'image/{kind}', picture)


def figure(drawing: Drawing, title: str, caption: str = '') -> str:
  """Returns a figure as a card, in the color scheme of the reader's system."""
  caption = f'<p>{text(caption)}</p>' if caption else ''
  return (
    f'<figure class="card figure"><figcaption><h3>{text(title)}</h3>{caption}'
    '</figcaption><picture><source media="(prefers-color-scheme: dark)" '
    f'srcset="{_data(drawing.dark)}">'
    f'<img src="{_data(drawing.light)}" alt="{text(title)}"></picture></figure>'
  )


def thumbnail(image: np.ndarray, side: int = THUMBNAIL_SIDE) -> bytes:
  """Returns an image [H, W, 3] uint8 as a small PNG or WebP.

  An image of up to SMALL pixels becomes a PNG of at most `side` pixels: it is
  enlarged by an integer factor, so that pixels stay sharp squares, or reduced
  smoothly. A larger image becomes a WebP of SMALL pixels, reduced by the ratio
  of `side` to THUMBNAIL_SIDE.
  """
  from PIL import Image

  picture = Image.fromarray(np.ascontiguousarray(image))
  longer = max(picture.size)
  if longer > SMALL:
    side = SMALL * side // THUMBNAIL_SIDE
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return webp(np.asarray(picture), quality=THUMBNAIL_QUALITY)
  if longer > side:
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
  else:
    factor = side // longer
    picture = picture.resize(
      (picture.width * factor, picture.height * factor),
      Image.Resampling.NEAREST,
    )
  buffer = io.BytesIO()
  picture.save(buffer, 'PNG', optimize=True)
  return buffer.getvalue()


def thumbnails(
  images: Sequence[np.ndarray], *, budget: int = IMAGE_BYTES
) -> list[bytes]:
  """Returns the thumbnails of a page, reduced until they fit the budget."""
  side = THUMBNAIL_SIDE
  results = [thumbnail(image, side) for image in images]
  while sum(map(len, results)) > budget and side > 16:
    side = side * 3 // 4
    results = [thumbnail(image, side) for image in images]
  return results


def mark(success: bool | None) -> str:
  """Returns ✓ or ✗ and a space, '' where success is not measured."""
  if success is None:
    return ''
  return '<b class="good">✓</b> ' if success else '<b class="bad">✗</b> '


def thumbnail_figure(
  small: bytes, image: np.ndarray, *, verdict: str, success: bool | None
) -> str:
  """Returns a thumbnail with the verdict of the judge under it.

  The image gives the shape. success is None where it is not measured.
  """
  height, width = image.shape[:2]
  passed = {True: 'passes: ', False: 'fails: ', None: ''}[success]
  kind = 'thumb' if max(height, width) <= THUMBNAIL_SIDE else 'thumb smooth'
  return (
    f'<figure class="{kind}" style="--shape:{width}/{height}" '
    f'title="{text(verdict)}"><img src="{_data(small)}" '
    f'alt="{passed}{text(verdict)}"><figcaption>{mark(success)}{text(verdict)}'
    '</figcaption></figure>'
  )
