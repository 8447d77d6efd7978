"""Tables, sentences and figures of fronts over settings."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from adrpo_jax.compare.fronts import Fronts, MethodFront
from adrpo_jax.compare.results import FRONTS, Comparison, pareto_front
from adrpo_jax.figures import fronts as front_figures
from adrpo_jax.figures.fronts import FrontLine
from adrpo_jax.figures.pareto import PLOT
from adrpo_jax.figures.style import LIGHT, Axes, Theme, make_drawing, render
from adrpo_jax.report import page
from adrpo_jax.stats.number_format import decimal, decimal_difference, p_value

TITLE = 'Fronts over settings'
LEGEND = (
  'The area is that between the settings of a method and the reference, which '
  'has the goal of the base and the worst value of the other measure: a larger '
  'area is a better front. Each seed has an area of its own; ± is the standard '
  'error over seeds. The test is a paired t-test over seeds, and the interval '
  'has 95 %. In the figures the star is the reference.'
)


def front_rows(comparison: Comparison, fronts: Fronts) -> list[list[str]]:
  """Returns the head of the table of an axis, and a row for each method."""
  title = _title_of(comparison, fronts.own)
  head = ['Method', 'Settings', 'Seeds', 'Area', f'{title} less this']
  rows = [_row(comparison, fronts, front) for front in fronts.methods]
  return [[*head, '95 % interval', 'p', f'{title} is'], *rows]


def _row(
  comparison: Comparison, fronts: Fronts, front: MethodFront
) -> list[str]:
  area, gap = front.area, fronts.gaps.get(front.method)
  cells = [
    _title_of(comparison, front.method),
    str(len(front.points)),
    str(len(front.areas)),
    decimal(area.mean, area.error, 4) if area else '–',
  ]
  if gap is None:
    return [*cells, '–', '–', '–', '–']
  interval = '–'
  if gap.seeds > 1:
    low, high = (decimal_difference(v, places=4) for v in (gap.low, gap.high))
    interval = f'{low} to {high}'
  return [
    *cells,
    decimal_difference(gap.difference, places=4),
    interval,
    p_value(gap.p),
    gap.verdict,
  ]


def sentence(comparison: Comparison, fronts: Fronts) -> str:
  """Returns whom ours is ahead of, behind, or undecided with, in words."""
  own = _title_of(comparison, fronts.own)
  by_verdict: dict[str, list[str]] = {}
  for method, gap in fronts.gaps.items():
    title = _title_of(comparison, method)
    by_verdict.setdefault(gap.verdict, []).append(title)
  words = {
    'ahead': 'ahead of',
    'behind': 'behind',
    'undecided': 'undecided with',
  }
  parts = [
    f'{words[verdict]} {", ".join(by_verdict[verdict])}'
    for verdict in words
    if verdict in by_verdict
  ]
  plane = f'{comparison.goal.title} and {_axis_title(comparison, fronts)}'
  return f'{plane}: {own} is {"; ".join(parts)}.' if parts else ''


def markdown_parts(comparison: Comparison, table: Any) -> list[str]:
  """Returns the parts of the Markdown; `table` makes one of rows."""
  if not comparison.fronts:
    return []
  parts = [f'## {TITLE}', LEGEND]
  for fronts in comparison.fronts:
    parts += [sentence(comparison, fronts)]
    parts += [table(front_rows(comparison, fronts))]
  return [part for part in parts if part]


def front_records(comparison: Comparison) -> list[dict[str, Any]]:
  """Returns all numbers of the fronts, for JSON."""
  return [
    {
      'axis': fronts.axis,
      'reference': fronts.reference,
      'own': fronts.own,
      'methods': [front._asdict() for front in fronts.methods],
      'gaps': {
        method: gap._asdict() | {'verdict': gap.verdict}
        for method, gap in fronts.gaps.items()
      },
    }
    for fronts in comparison.fronts
  ]


def front_section(comparison: Comparison) -> str:
  """Returns the section of the page; '' without a sweep."""
  if not comparison.fronts:
    return ''
  figures = [
    page.figure(
      make_drawing(_draw(comparison, fronts), size=PLOT),
      f'{comparison.goal.title} and {_axis_title(comparison, fronts)}',
      sentence(comparison, fronts),
    )
    for fronts in comparison.fronts
  ]
  tables = []
  for fronts in comparison.fronts:
    head, *rows = front_rows(comparison, fronts)
    cells = [list(map(page.number, row)) for row in rows]
    tables.append(page.table(head, cells, own='ADRPO', dense=True))
  return page.section(TITLE, LEGEND, page.grid('two', figures), *tables)


def front_picture(comparison: Comparison) -> bytes:
  """Returns the figures of all axes side by side, as one PNG."""
  planes = comparison.fronts

  def draw(theme: Theme, *axes: Axes) -> None:
    for panel, fronts in zip(axes, planes, strict=True):
      _draw(comparison, fronts)(theme, panel)

  width, height = PLOT
  size = len(planes) * width, height
  return render(draw, LIGHT, size=size, panels=(1, len(planes)))


def _draw(comparison: Comparison, fronts: Fronts) -> partial:
  goal, more = comparison.goal, FRONTS[fronts.axis]
  return partial(
    front_figures.draw_fronts,
    lines=[
      _line(number, _title_of(comparison, front.method), front.points, more)
      for number, front in enumerate(fronts.methods)
    ],
    base=fronts.reference[::-1],
    x_label=comparison.measures[fronts.axis].label,
    y_label=f'{goal.title.lower()} on held-out prompts',
    percent=goal.share,
    more_is_better=more,
  )


def _line(
  number: int,
  title: str,
  points: Mapping[str, tuple[float, float]],
  more_is_better: bool,
) -> FrontLine:
  means = list(points.values())
  best = pareto_front(means, more_is_better=(True, more_is_better))
  return FrontLine(title, number, [point[::-1] for point in means], best)


def _title_of(comparison: Comparison, method: str) -> str:
  return comparison.titles_of_methods.get(method, method)


def _axis_title(comparison: Comparison, fronts: Fronts) -> str:
  return comparison.measures[fronts.axis].head
