"""The figure of a scaling study: four measures over the number of chips."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from adrpo_jax.figures.pareto import color_of, marker_of
from adrpo_jax.figures.style import Axes, Theme

SIZE = (9.2, 6.2)  # inches
PANELS = (2, 2)


class Series(NamedTuple):
  """A config at growing numbers of chips [K].

  kinds: name of a resource -> seconds of a step that it is busy for [K]
  seconds: of a step at least [K]
  hbm: GiB of a device [K]
  capacity: GiB of a device
  link: GiB on the busiest links in a step [K]
  speed: samples per second at most [K]
  """

  name: str
  chips: np.ndarray
  kinds: Mapping[str, np.ndarray]
  seconds: np.ndarray
  hbm: np.ndarray
  capacity: float
  link: np.ndarray
  speed: np.ndarray


def draw_scaling(theme: Theme, *axes: Axes, series: Sequence[Series]) -> None:
  """Draws seconds, memory, bytes of a link, and speed over chips."""
  seconds, hbm, link, speed = axes
  _draw_seconds(theme, seconds, series)
  for number, line in enumerate(series):
    _draw(theme, hbm, number, line, line.hbm)
    _draw(theme, link, number, line, line.link)
    _draw(theme, speed, number, line, line.speed)
    _draw_linear(theme, speed, line)
  for capacity in sorted({line.capacity for line in series}):
    hbm.axhline(capacity, color=theme.bad, linewidth=1, linestyle='--')
  for panel in (seconds, hbm, link):
    panel.set_ylim(0, 1.06 * panel.get_ylim()[1])
  speed.set_yscale('log', base=2)
  for panel, label in (
    (seconds, 'seconds of a step, at least'),
    (hbm, 'GiB of a device; dashed: what it has'),
    (link, 'GiB of a step on the busiest link'),
    (speed, 'samples per second, at most; dotted: linear'),
  ):
    _over_chips(panel, series, label)
  _plain_numbers(speed)
  if len(series) > 1:
    speed.legend(loc='upper left')


def _draw_seconds(theme: Theme, axes: Axes, series: Sequence[Series]) -> None:
  """Draws the roofline of each config; of a single one, its resources too."""
  for number, line in enumerate(series):
    _draw(theme, axes, number, line, line.seconds, name='roofline')
  if len(series) == 1:
    (line,) = series
    for number, (kind, values) in enumerate(line.kinds.items(), start=1):
      if np.any(values > 0):
        used = np.where(values > 0, values, np.nan)
        _draw(theme, axes, number, line, used, name=kind.replace('_', ' '))
    axes.legend(loc='lower left', bbox_to_anchor=(0, 1), ncols=3)


def _draw(
  theme: Theme,
  axes: Axes,
  number: int,
  line: Series,
  values: np.ndarray,
  name: str = '',
) -> None:
  # Lines that lie on each other are all seen: the later, the thinner.
  slimmer = 0.8 ** (2 * number)
  axes.plot(
    line.chips,
    values,
    color=color_of(theme, number),
    marker=marker_of(number),
    markersize=4 + 4 * slimmer,
    linewidth=0.9 + 1.8 * slimmer,
    label=name or line.name,
  )


def _draw_linear(theme: Theme, axes: Axes, line: Series) -> None:
  """Draws what the smallest place would give without any loss."""
  known = line.speed > 0
  if not known.any():
    return
  first = int(np.argmax(known))
  axes.plot(
    line.chips[first:],
    line.speed[first] * line.chips[first:] / line.chips[first],
    color=theme.muted,
    linewidth=1,
    linestyle=(0, (1, 2.2)),
  )


def _over_chips(axes: Axes, series: Sequence[Series], label: str) -> None:
  ticks = sorted({int(chips) for line in series for chips in line.chips})
  axes.set_xscale('log', base=2)
  axes.set_xticks(ticks, [str(tick) for tick in ticks])
  axes.minorticks_off()
  axes.set_xlabel('chips')
  axes.set_ylabel(label)


def _plain_numbers(axes: Axes) -> None:
  from matplotlib.ticker import FuncFormatter

  axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f'{v:g}'))
