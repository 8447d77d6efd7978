"""Bounds and measured seconds as Markdown tables."""

from collections.abc import Mapping, Sequence

from adrpo_jax.compile.chips import GIB
from adrpo_jax.scaling.bounds import Bounds
from adrpo_jax.scaling.measured import Measured
from adrpo_jax.stats.utilization import STAGES

BOUNDS = (
  ('program', '---'),
  ('place', '---'),
  ('mesh', '---'),
  ('chips', '---:'),
  ('samples a step', '---:'),
  ('HBM, GiB', '---:'),
  ('rollout, s', '---:'),
  ('reward, s', '---:'),
  ('update, s', '---:'),
  ('sent, GiB', '---:'),
  ('a link, GiB', '---:'),
  ('samples/s ≤', '---:'),
  ('a chip', '---:'),
  ('MFU ≤', '---:'),
)
MEASURED = (
  ('devices', '---'),
  ('samples a step', '---:'),
  *((f'{stage}, s', '---:') for stage in STAGES),
  ('step, s', '---:'),
  ('bound, s', '---:'),
  ('samples/s', '---:'),
  ('of linear', '---:'),
  ('MFU', '---:'),
)


def bounds_table(rows: Sequence[Bounds]) -> str:
  """Returns a line for each case; what does not fit says so."""
  lines = [_bounds(row) for row in rows if not row.refused]
  text = _markdown(BOUNDS, lines)
  refused = [
    f'{row.program}, {row.place} ({row.mesh}): {row.refused}'
    for row in rows
    if row.refused
  ]
  return '\n'.join([text, *([''] if refused else []), *refused])


def measured_table(
  rows: Sequence[Measured], bounds: Sequence[Bounds] = ()
) -> str:
  """Returns a line for each number of devices.

  `of linear` compares samples per second of a device with those of the first
  line. A bound stands beside the seconds where a case has as many chips and
  samples.
  """
  seconds = {(b.chips, b.samples): b.seconds for b in bounds if b.seconds}
  return _markdown(MEASURED, [_measured(row, rows[0], seconds) for row in rows])


def _bounds(row: Bounds) -> list[str]:
  hbm = f'{row.hbm / GIB:.1f} of {row.capacity / GIB:.0f}'
  if not row.fits:
    hbm += ', **does not fit**'
  cells = [row.program, row.place, row.mesh]
  cells += [str(row.chips), str(row.samples), hbm]
  if not row.seconds:
    return cells + ['—'] * (len(BOUNDS) - len(cells))
  return [
    *cells,
    *(f'{row.stages[stage]:.2f}' for stage in ('rollout', 'reward', 'update')),
    f'{row.sent / GIB:.2f}',
    f'{row.link / GIB:.2f}',
    f'{row.speed:.1f}',
    f'{row.speed / row.chips:.2f}',
    f'{row.mfu:.0%}',
  ]


def _measured(
  row: Measured, first: Measured, bounds: Mapping[tuple[int, int], float]
) -> list[str]:
  bound = bounds.get((row.devices, row.samples))
  linear = first.speed / first.devices * row.devices
  return [
    row.device or str(row.devices),
    str(row.samples),
    *(f'{row.stages[stage]:.3f}' for stage in STAGES),
    f'{row.seconds:.3f}',
    '—' if bound is None else f'{bound:.3f}',
    f'{row.speed:.1f}',
    f'{row.speed / linear:.0%}',
    '—' if row.mfu is None else f'{row.mfu:.0%}',
  ]


def _markdown(
  titles: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]
) -> str:
  names, rules = zip(*titles, strict=True)
  return '\n'.join(
    f'| {" | ".join(cells)} |' for cells in (names, rules, *rows)
  )
