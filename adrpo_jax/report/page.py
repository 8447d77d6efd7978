"""HTML pieces of a self-contained page: no link leaves it, nothing is fetched.

Every piece takes plain text and escapes it. A parameter named `html` takes
pieces already made here.
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

THUMBNAIL_SIDE = 160  # pixels of a small picture's longer side, at most
THUMBNAIL_QUALITY = 85  # of WebP
PICTURE_BYTES = 3_000_000  # of all the pictures on a page together, about


def text(value: object) -> str:
  """Anything as text that is safe between tags and inside an attribute."""
  return escaping.escape(str(value), quote=True)


def page(title: str, *html: str) -> str:
  """A whole document."""
  template = importlib.resources.files('adrpo_jax.report') / 'page.html'
  return string.Template(template.read_text(encoding='utf-8')).substitute(
    title=text(title), body='\n'.join(html)
  )


def header(eyebrow: str, title: str, lead: str, chips: Iterable[str]) -> str:
  """The top of a page; *stars* in the lead set a figure in bold."""
  marks = ''.join(f'<span>{text(chip)}</span>' for chip in chips)
  return (
    f'<header><p class="eyebrow">{text(eyebrow)}</p><h1>{text(title)}</h1>'
    f'<p class="lead">{_with_bold(lead)}</p>'
    f'<div class="chips">{marks}</div></header>'
  )


def number(line: str) -> str:
  """Text with numbers that may break before a ± but not before a unit."""
  unbroken = text(line).replace('± ', '±&nbsp;')
  return unbroken.replace(' %', '&nbsp;%').replace(' pp', '&nbsp;pp')


def _with_bold(line: str) -> str:
  pieces = number(line).split('*')
  return ''.join(
    f'<b>{piece}</b>' if i % 2 else piece for i, piece in enumerate(pieces)
  )


def section(title: str, lead: str, *html: str) -> str:
  """A titled part of a page with a sentence or two on how to read it."""
  lead = f'<p>{_with_bold(lead)}</p>' if lead else ''
  return f'<section><h2>{text(title)}</h2>{lead}{"".join(html)}</section>'


def note(line: str) -> str:
  """A line that says what is missing, or what to be careful about."""
  return f'<p class="note">{text(line)}</p>'


def notes(lines: Sequence[str]) -> str:
  """Several notes, or nothing."""
  return f'<div class="notes">{"".join(map(note, lines))}</div>' * bool(lines)


def grid(kind: str, html: Iterable[str]) -> str:
  """Cards that flow into as many columns as fit; kind: cards, two, three."""
  return f'<div class="grid {kind}">{"".join(html)}</div>'


def key(*entries: tuple[str, str]) -> str:
  """What marks mean: (classes of the mark, meaning) ..."""
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
  """A table of cells made here or by `text`; the first cell heads its row.

  Rows whose first cell is `own` are tinted. A dense table breaks its cells
  before it scrolls.
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


def facts(entries: Iterable[tuple[str, object]]) -> str:
  """Names and values in columns."""
  items = ''.join(
    f'<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>'
    for name, value in entries
  )
  return f'<dl class="card facts">{items}</dl>'


def folded_settings(title: str, entries: Iterable[tuple[str, object]]) -> str:
  """A long list of settings behind a line that opens it."""
  items = ''.join(
    f'<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>'
    for name, value in entries
  )
  return (
    f'<details class="card"><summary>{text(title)}</summary>'
    f'<dl class="config">{items}</dl></details>'
  )


def _data(picture: bytes) -> str:
  kind = 'webp' if picture.startswith(b'RIFF') else 'png'
  return f'data:image/{kind};base64,{base64.b64encode(picture).decode("ascii")}'


def figure(drawing: Drawing, title: str, caption: str = '') -> str:
  """A figure as a card, in the theme of the reader's system."""
  caption = f'<p>{text(caption)}</p>' if caption else ''
  return (
    f'<figure class="card figure"><figcaption><h3>{text(title)}</h3>{caption}'
    '</figcaption><picture><source media="(prefers-color-scheme: dark)" '
    f'srcset="{_data(drawing.dark)}">'
    f'<img src="{_data(drawing.light)}" alt="{text(title)}"></picture></figure>'
  )


def thumbnail(image: np.ndarray, side: int = THUMBNAIL_SIDE) -> bytes:
  """[H, W, 3] uint8 -> a picture of at most `side` pixels, as PNG or WebP.

  A small one, up to SMALL pixels, is a PNG: it grows by a whole factor, each
  pixel staying a crisp square, or shrinks smoothly. A large one is a WebP of
  SMALL pixels, or of as much less as `side` is below its usual value.
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
  images: Sequence[np.ndarray], *, budget: int = PICTURE_BYTES
) -> list[bytes]:
  """Thumbnails of all of a page, made smaller until they fit the budget."""
  side = THUMBNAIL_SIDE
  made = [thumbnail(image, side) for image in images]
  while sum(map(len, made)) > budget and side > 16:
    side = side * 3 // 4
    made = [thumbnail(image, side) for image in images]
  return made


def thumb(
  small: bytes, image: np.ndarray, *, verdict: str, success: bool
) -> str:
  """A picture with the judge's words under it; image gives its shape."""
  height, width = image.shape[:2]
  kind = 'thumb' if max(height, width) <= THUMBNAIL_SIDE else 'thumb smooth'
  mark = '<b class="good">✓</b>' if success else '<b class="bad">✗</b>'
  passed = 'passes' if success else 'fails'
  return (
    f'<figure class="{kind}" style="--shape:{width}/{height}" '
    f'title="{text(verdict)}"><img src="{_data(small)}" '
    f'alt="{passed}: {text(verdict)}"><figcaption>{mark} {text(verdict)}'
    '</figcaption></figure>'
  )
