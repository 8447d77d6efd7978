"""Bounds of cases as a figure, for light and for dark pages."""

from collections.abc import Sequence
from functools import partial
import pathlib

import numpy as np

from adrpo_jax.compile.chips import GIB
from adrpo_jax.figures import scaling as figure
from adrpo_jax.figures.style import DARK, LIGHT, render
from adrpo_jax.scaling.bounds import KINDS, Bounds
from adrpo_jax.system.files import replacing


def write_plot(
  rows: Sequence[tuple[str, Bounds]], folder: pathlib.Path
) -> list[pathlib.Path]:
  """Writes scaling.png and scaling_dark.png; nothing where no case has bounds.

  Args:
    rows: (name of a line, bounds), in the order of the study.
    folder: receives the files.
  """
  series = _series([row for row in rows if row[1].seconds])
  if not series:
    return []
  draw = partial(figure.draw_scaling, series=series)
  paths = []
  for name, theme in (('scaling', LIGHT), ('scaling_dark', DARK)):
    paths.append(folder / f'{name}.png')
    with replacing(paths[-1]) as new:
      new.write_bytes(
        render(draw, theme, size=figure.SIZE, panels=figure.PANELS)
      )
  return paths


def _series(rows: Sequence[tuple[str, Bounds]]) -> list[figure.Series]:
  """Groups the cases of each line, by their number of chips."""
  lines: dict[str, list[Bounds]] = {}
  for name, bounds in rows:
    lines.setdefault(name, []).append(bounds)
  return [
    _line(name, sorted(bounds, key=lambda b: b.chips))
    for name, bounds in lines.items()
  ]


def _line(name: str, rows: Sequence[Bounds]) -> figure.Series:
  return figure.Series(
    name=name,
    chips=np.array([row.chips for row in rows]),
    kinds={kind: np.array([row.kinds[kind] for row in rows]) for kind in KINDS},
    seconds=np.array([row.seconds for row in rows]),
    hbm=np.array([row.hbm / GIB for row in rows]),
    capacity=rows[0].capacity / GIB,
    link=np.array([row.link / GIB for row in rows]),
    speed=np.array([row.speed for row in rows]),
  )
