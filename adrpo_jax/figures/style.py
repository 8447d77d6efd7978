"""The style of all figures: a light and a dark theme, rendered as PNG.

matplotlib is imported at the first drawing and used without pyplot, so there is
no global figure, no backend to select, and no state between two reports.
"""

from collections.abc import Callable, Iterator
import contextlib
import io
from typing import Any, NamedTuple

import numpy as np

Axes = Any  # matplotlib.axes.Axes, which is imported lazily

FONTS = ('Inter', 'Helvetica Neue', 'Arial', 'Liberation Sans', 'DejaVu Sans')
DOTS_PER_INCH = 190
PNG_COLORS = 192


class Theme(NamedTuple):
  """The colors of a figure, which match its page."""

  surface: str
  ink: str
  muted: str
  grid: str
  base: str  # the base model
  tuned: str  # the model in training
  held_out: str  # evaluations on top of training curves
  good: str
  bad: str
  ramp: tuple[str, ...]  # a few ordered lines, from pale to strong
  methods: tuple[str, ...]  # many unordered lines


LIGHT = Theme(
  surface='#ffffff',
  ink='#1c2530',
  muted='#6b7685',
  grid='#e8ebf0',
  base='#9aa4b2',
  tuned='#2b59c3',
  held_out='#d9690c',
  good='#0f8a6d',
  bad='#c0392b',
  ramp=('#a9c1f2', '#6f96e4', '#2b59c3', '#14306f'),
  methods=(
    '#2b59c3',
    '#d9690c',
    '#0f8a6d',
    '#b03a8c',
    '#8a6d00',
    '#c0392b',
    '#1992b8',
    '#6c4bc4',
    '#5d8a1c',
    '#8c5a3c',
  ),
)

DARK = Theme(
  surface='#171c24',
  ink='#e7ebf1',
  muted='#97a2b1',
  grid='#2a323e',
  base='#78849a',
  tuned='#82a7ff',
  held_out='#f5a35c',
  good='#5fd3a5',
  bad='#f28b82',
  ramp=('#3d558f', '#5b7fd6', '#8fb0ff', '#d3e0ff'),
  methods=(
    '#82a7ff',
    '#f5a35c',
    '#4fd0ad',
    '#e88bc8',
    '#d8bd4a',
    '#f08a80',
    '#66cdea',
    '#b49cf5',
    '#a5d15f',
    '#cfa287',
  ),
)

MARKERS = ('o', 's', 'D', '^', 'v', 'P', 'X', '<', '>', 'h')


class Drawing(NamedTuple):
  """A figure as PNG bytes, for a light and a dark page."""

  light: bytes
  dark: bytes


@contextlib.contextmanager
def _styled(theme: Theme) -> Iterator[None]:
  import matplotlib
  from matplotlib import font_manager

  present = set(font_manager.get_font_names())
  style = {
    'font.family': [font for font in FONTS if font in present],
    'font.size': 8.5,
    'text.color': theme.ink,
    'text.parse_math': False,
    'figure.facecolor': theme.surface,
    'axes.facecolor': theme.surface,
    'axes.edgecolor': theme.grid,
    'axes.labelcolor': theme.muted,
    'axes.labelsize': 8.5,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.spines.left': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'axes.unicode_minus': True,
    'grid.color': theme.grid,
    'grid.linewidth': 0.7,
    'xtick.color': theme.muted,
    'ytick.color': theme.muted,
    'xtick.major.size': 0,
    'ytick.major.size': 0,
    'xtick.minor.size': 0,
    'ytick.minor.size': 0,
    'xtick.labelsize': 8,
    'ytick.labelsize': 8,
    'lines.linewidth': 1.8,
    'lines.solid_capstyle': 'round',
    'legend.frameon': False,
    'legend.fontsize': 8,
  }
  with matplotlib.rc_context(style):
    yield


def render(
  draw: Callable[..., None],
  theme: Theme,
  *,
  size: tuple[float, float],
  panels: tuple[int, int] = (1, 1),
) -> bytes:
  """Calls draw(theme, *axes) on a grid of panels and returns a PNG.

  panels: (rows, columns); the axes come row by row
  size: in inches
  """
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  with _styled(theme):
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout='constrained')
    canvas = FigureCanvasAgg(figure)
    draw(theme, *figure.subplots(*panels, squeeze=False).flat)
    canvas.draw()  # Once; `savefig` draws twice, the first time for the layout.
  return _png(np.asarray(canvas.buffer_rgba()))


def _png(pixels: np.ndarray) -> bytes:
  """Encodes [H, W, 4] with a palette: a third of the bytes, no visible loss.

  The palette of an octree is five times as fast as the median cut, and the
  files are smaller. Colors are off by half a level of 255 in the mean.
  """
  from PIL import Image

  image = Image.fromarray(pixels).convert('RGB')
  indexed = image.quantize(
    PNG_COLORS,
    method=Image.Quantize.FASTOCTREE,
    dither=Image.Dither.NONE,
  )
  # The background is exactly that of the page.
  palette = np.array(indexed.getpalette(), np.uint8).reshape(-1, 3)
  palette[np.asarray(indexed)[0, 0]] = pixels[0, 0, :3]
  indexed.putpalette(palette.tobytes())
  buffer = io.BytesIO()
  indexed.save(buffer, 'PNG')
  return buffer.getvalue()


def make_drawing(
  draw: Callable[..., None], *, size: tuple[float, float]
) -> Drawing:
  """Renders draw(theme, axes) for a light and a dark page."""
  return Drawing(render(draw, LIGHT, size=size), render(draw, DARK, size=size))
