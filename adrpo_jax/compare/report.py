"""Writes the results of a comparison: tables, Pareto plots, samples, one page.

Reads the finished runs in `WORKDIR/METHOD/seed_K/` and writes comparison.md,
.csv, .json and .html, pareto.png, for a sweep fronts.png and, for images,
samples.png to WORKDIR. It can be called again after each run. A method without
a finished run is left out.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from adrpo_jax.compare.curves import equal_divergence_sections, progress_section
from adrpo_jax.compare.front_tables import front_picture, front_section
from adrpo_jax.compare.pairs import LEGEND, pair_rows
from adrpo_jax.compare.results import (
  FRONTS,
  Comparison,
  MethodRow,
  read_comparison,
)
from adrpo_jax.compare.table import (
  as_csv,
  as_json,
  as_markdown,
  legends,
  table_rows,
)
from adrpo_jax.figures import pareto
from adrpo_jax.figures.pareto import MethodPoint
from adrpo_jax.figures.style import LIGHT, Axes, Theme, make_drawing, render
from adrpo_jax.report import page
from adrpo_jax.report.cards import SELECTION_RULE, Column, same_prompts
from adrpo_jax.report.sample_kinds import kind_of
from adrpo_jax.stats.measures import Measure
from adrpo_jax.stats.number_format import is_finite
from adrpo_jax.system.files import replacing


def write_comparison(workdir: Path | str) -> Path:
  """Writes all files of a comparison. Returns the path of the page.

  Raises:
    FileNotFoundError: no run in the folder has finished.
  """
  workdir = Path(workdir)
  comparison = read_comparison(workdir)
  contents = {
    'md': as_markdown(comparison),
    'csv': as_csv(comparison),
    'json': as_json(comparison),
    'html': _page(comparison),
  }
  for ending, text in contents.items():
    path = workdir / f'comparison.{ending}'
    with replacing(path) as new:
      new.write_text(text, encoding='utf-8')
  (workdir / 'pareto.png').write_bytes(_pareto(comparison))
  if comparison.fronts:
    (workdir / 'fronts.png').write_bytes(front_picture(comparison))
  if columns := _columns(comparison):
    for name, content in kind_of(columns).files(columns).items():
      (workdir / name).write_bytes(content)
  return workdir / 'comparison.html'


def _page(comparison: Comparison) -> str:
  return page.page(
    'Comparison of methods',
    _header(comparison),
    page.notes(comparison.notes),
    _results(comparison),
    _pairs(comparison),
    front_section(comparison),
    *equal_divergence_sections(comparison),
    _fronts(comparison),
    progress_section(comparison),
    _categories(comparison),
    _samples(comparison),
    '<footer>Written by <code>adrpo_jax</code>.</footer>',
  )


def _header(comparison: Comparison) -> str:
  rows = comparison.methods
  seeds = max(len(row.seeds) for row in rows)
  goal = comparison.goal
  known = [row for row in rows if is_finite(row.mean(goal.key))]
  best = max(known or rows, key=lambda row: row.mean(goal.key) or 0.0)
  on_both = [
    row.title for row in rows if all(row.on_front.get(axis) for axis in FRONTS)
  ]
  line = (
    f'*{best.title}* reaches the highest {goal.title.lower()} on held-out '
    f'prompts: *{goal.format(best.mean(goal.key))}*, base '
    f'{goal.format(comparison.base.mean(goal.key))}. '
  )
  if on_both:
    line += f'On both Pareto fronts: *{", ".join(on_both)}*.'
  else:
    line += 'No method is on both Pareto fronts.'
  runs = sum(len(row.seeds) for row in rows)
  chips = [
    _counted(len(rows), 'method'),
    _counted(seeds, 'seed'),
    _counted(runs, 'finished run'),
  ]
  return page.header('Comparison', 'Methods on one base model', line, chips)


def _counted(count: int, thing: str) -> str:
  return f'{count} {thing}{"" if count == 1 else "s"}'


def _results(comparison: Comparison) -> str:
  head, *rows = table_rows(comparison)
  lead = (
    'After training with the same number of samples. All methods start from '
    'the same base model and are evaluated on the same held-out prompts and '
    'noise. ' + ' '.join(legends(comparison))
  )
  cells = [list(map(page.number, row)) for row in rows]
  table = page.table(head, cells, own='ADRPO', dense=True)
  return page.section('Result', lead, table)


def _pairs(comparison: Comparison) -> str:
  if not comparison.pairs:
    return ''
  head, *rows = pair_rows(comparison.pairs, comparison.goal)
  table = page.table(
    head, [list(map(page.number, row)) for row in rows], dense=True
  )
  return page.section('Prompt by prompt', LEGEND.format(items='prompts'), table)


def _method_points(comparison: Comparison, axis: str) -> list[MethodPoint]:
  points = []
  goal = comparison.goal.key
  for number, row in enumerate((comparison.base, *comparison.methods), -1):
    if axis not in row.measures or goal not in row.measures:
      continue
    x, y = row.measures[axis], row.measures[goal]
    paired = row.seeds and len(x.values) == len(y.values)
    points.append(
      MethodPoint(
        name=row.title,
        number=number if number >= 0 else None,
        x=x.mean,
        y=y.mean,
        x_error=x.error,
        y_error=y.error,
        seeds_x=x.values if paired else (),
        seeds_y=y.values if paired else (),
        on_front=row.on_front.get(axis, False),
      )
    )
  return points


def _draw_front(comparison: Comparison, axis: str) -> partial:
  return partial(
    pareto.draw_method_points,
    points=_method_points(comparison, axis),
    x_label=comparison.measures[axis].label,
    y_label=f'{comparison.goal.title.lower()} on held-out prompts',
    percent=comparison.goal.share,
    more_is_better=FRONTS[axis],
  )


def _pareto(comparison: Comparison) -> bytes:
  """Returns both Pareto plots side by side, as one PNG."""

  def draw(theme: Theme, *axes: Axes) -> None:
    for panel, axis in zip(axes, FRONTS, strict=True):
      _draw_front(comparison, axis)(theme, panel)

  width, height = pareto.PLOT
  return render(draw, LIGHT, size=(2 * width, height), panels=(1, 2))


def _fronts(comparison: Comparison) -> str:
  lead = (
    'Small marks are seeds, large marks their mean ± standard error, and the '
    'star is the base. The dotted line is the Pareto front: no other point is '
    'better in both measures. Names of methods on the front are bold.'
  )
  goal = comparison.goal.title
  captions = {
    'diversity': (f'{goal} and diversity', 'Up and right is better.'),
    'divergence': (f'{goal} and divergence', 'Up and left is better.'),
  }
  figures = [
    page.figure(
      make_drawing(_draw_front(comparison, axis), size=pareto.PLOT),
      *captions[axis],
    )
    for axis in FRONTS
  ]
  title = f'The cost of {goal.lower()}'
  return page.section(title, lead, page.grid('two', figures))


def _categories(comparison: Comparison) -> str:
  everyone = (comparison.base, *comparison.methods)
  names = list(dict.fromkeys(n for row in everyone for n in row.by_category))
  goal = comparison.goal
  title = f'{goal.title} by category'
  if not names:
    return page.section(title, '', page.note('No run recorded categories.'))
  cell = _category_cell(everyone, goal)
  rows = [
    [page.text(row.title)] + [cell(row, name) for name in names]
    for row in everyone
  ]
  kind = 'In percent.' if goal.share else 'The mean.'
  lead = f'{kind} A darker cell is a larger gain over the base.'
  table = page.table(['', *names], rows, own='ADRPO')
  return page.section(title, lead, table)


def _category_cell(
  rows: Sequence[MethodRow], goal: Measure
) -> Callable[[MethodRow, str], str]:
  """Makes (row, category) -> its cell; the base is the first of `rows`.

  The darkest cell gains 40 points, or of a score the most in the table.
  """
  before = {name: value.mean for name, value in rows[0].by_category.items()}

  def gain(row: MethodRow, name: str) -> float:
    value = row.by_category[name].mean
    return max(0.0, value - before.get(name, value))

  gains = [gain(row, name) for row in rows for name in row.by_category]
  most = 0.4 if goal.share else max(gains)
  values = [each.mean for row in rows for each in row.by_category.values()]
  places = goal.places(*values)

  def cell(row: MethodRow, name: str) -> str:
    if name not in row.by_category:
      return '–'
    value = row.by_category[name].mean
    share = round(60 * min(1.0, gain(row, name) / most)) if most else 0
    tint = f'color-mix(in srgb, var(--tuned) {share}%, transparent)'
    style = f' style="background:{tint}"' if share else ''
    shown = goal.format(value, places=places).removesuffix(' %')
    return f'<td{style}>{shown}</td>'

  return cell


def _columns(comparison: Comparison) -> list[Column[Any]]:
  """Returns the base, and the first seed of each method on its prompts."""
  columns: list[Column[Any]] = []
  for method, runs in comparison.runs.items():
    for run in runs:
      if run.base_samples is None or run.tuned_samples is None:
        continue
      candidate = Column(comparison.titles[method], run.tuned_samples)
      base = columns or [Column('Base', run.base_samples)]
      if same_prompts([*base, candidate]):
        columns = [*base, candidate]
        break
  return columns


def _samples(comparison: Comparison) -> str:
  title = 'Samples of every method for the same prompts'
  columns = _columns(comparison)
  if not columns:
    return page.section(title, '', page.note('These runs have no samples.'))
  kind = kind_of(columns)
  lead = f'{SELECTION_RULE} Each method shows its first seed.'
  shown = {column.title for column in columns}
  absent = [
    f'{row.title} has no {kind.noun} for these prompts.'
    for row in comparison.methods
    if row.title not in shown
  ]
  return page.section(title, lead, kind.by_method(columns), page.notes(absent))
