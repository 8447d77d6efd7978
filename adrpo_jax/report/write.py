"""Writes report.html of a run: one self-contained page that opens from disk.

It can be written at any time from the files in the workdir. A note on the page
replaces each part whose data is missing, as in a run that is in progress.
"""

from typing import Any

from etils import epath
from flax.traverse_util import flatten_dict

from adrpo_jax.report import charts as report_charts
from adrpo_jax.report import curves as report_curves
from adrpo_jax.report import headline, page
from adrpo_jax.report.cards import SELECTION_RULE, Column, same_prompts
from adrpo_jax.report.charts import Chart
from adrpo_jax.report.run_record import Record, RunRecord, read_run, series
from adrpo_jax.report.sample_kinds import kind_of
from adrpo_jax.stats.number_format import decimal, is_finite, percent
from adrpo_jax.system.files import replacing


def is_written(workdir: epath.PathLike) -> bool:
  """Returns True if WORKDIR/report.html is there, whole."""
  return (epath.Path(workdir) / 'report.html').exists()


def write_report(workdir: epath.PathLike) -> epath.Path:
  """Writes WORKDIR/report.html, and its figures as WORKDIR/figures/*.png.

  The page is written last and at once, so the figures are there if it is.

  Raises:
    FileNotFoundError: the folder has none of the files of a run.
  """
  run = read_run(workdir)
  curves, unlogged = report_curves.curve_charts(run)
  paths = report_charts.trajectory_charts(run)
  beta, buckets, signs, categories, seconds = (
    chart(run)
    for chart in (
      report_charts.beta_chart,
      report_charts.bucket_chart,
      report_charts.sign_chart,
      report_charts.category_chart,
      report_charts.seconds_chart,
    )
  )
  html = page.page(
    f'{run.title} · {run.workdir.resolve().name}',
    _header(run),
    page.notes(run.notes),
    headline.headline(run),
    _samples(run),
    _learning(curves, unlogged),
    _paths(paths),
    _adaptation(beta, buckets, signs),
    _breakdown(run, categories, seconds),
    _facts(run),
    '<footer>Written by <code>adrpo_jax</code>. Errors are standard errors '
    'over held-out prompts.</footer>',
  )
  others = (beta, buckets, signs, categories, seconds)
  charts = [*curves, *paths, *(chart for chart in others if chart is not None)]
  folder = run.workdir / 'figures'
  folder.mkdir(parents=True, exist_ok=True)
  for chart in charts:
    (folder / f'{chart.name}.png').write_bytes(chart.drawing.light)
  if columns := _columns(run):
    for name, content in kind_of(columns).files(columns).items():
      (folder / name).write_bytes(content)
  report = run.workdir / 'report.html'
  with replacing(report) as new:
    new.write_text(html, encoding='utf-8')
  return report


def _columns(run: RunRecord) -> list[Column[Any]]:
  """Returns base and tuned samples, or [] if their prompts differ."""
  if run.base_samples is None or run.tuned_samples is None:
    return []
  columns = [
    Column('Base', run.base_samples),
    Column(headline.tuned_title(run), run.tuned_samples),
  ]
  return columns if same_prompts(columns) else []


def _header(run: RunRecord) -> str:
  name = run.title
  summary = run.summary or {}
  chips = [f'{run.steps} steps']
  if 'seed' in summary:
    chips.append(f'seed {summary["seed"]}')
  if 'seconds' in summary:
    chips.append(duration(summary['seconds']))
  if device := summary.get('device') or run.config.get('device'):
    chips.append(str(device))
  if not run.summary:
    chips.append('unfinished')
  return page.header(
    'Fine-tuning report',
    f'{name} against its base',
    headline.verdict(run),
    chips,
  )


def duration(seconds: float) -> str:
  """Formats seconds: "47 s", "3 min 30 s", "2 h 05 min"."""
  whole = round(seconds)
  if whole < 60:
    return f'{whole} s'
  if whole < 3600:
    return f'{whole // 60} min {whole % 60:02d} s'
  return f'{whole // 3600} h {whole // 60 % 60:02d} min'


def _samples(run: RunRecord) -> str:
  columns = _columns(run)
  if not columns:
    line = 'There are no samples of base and tuned for the same prompts yet.'
    return page.section('Base and tuned', '', page.note(line))
  kind = kind_of(columns)
  lead = f'{SELECTION_RULE} {kind.lead}'
  return page.section(kind.title, lead, kind.pairs(*columns))


def _learning(curves: list[Chart], unlogged: list[str]) -> str:
  if not curves:
    return page.section('Training', '', page.note('Nothing is logged yet.'))
  key = page.key(
    ('of-tuned pale', 'each step, on training prompts'),
    ('of-tuned', 'running mean over a tenth of the steps'),
    ('of-held-out dot', 'evaluation on held-out prompts, ± standard error'),
  )
  absent = page.note(f'Not logged in this run: {", ".join(unlogged).lower()}.')
  return page.section(
    'Training',
    '',
    key,
    page.grid('three', map(_figure, curves)),
    absent if unlogged else '',
  )


def _figure(chart: Chart) -> str:
  return page.figure(chart.drawing, chart.title, chart.caption)


def _paths(charts: list[Chart]) -> str:
  lead = (
    'Large points are evaluations on held-out prompts, small points are steps '
    'on training prompts. The color goes from the base (gray) to the latest '
    'step (blue). A run that over-optimizes its reward loses diversity, or '
    'gains little reward for much divergence.'
  )
  title = 'The cost of the reward'
  if not charts:
    line = 'These figures need two evaluations or two steps.'
    return page.section(title, '', page.note(line))
  return page.section(title, lead, page.grid('two', map(_figure, charts)))


def _adaptation(*charts: Chart | None) -> str:
  title = 'Regularization to the reference'
  present = [chart for chart in charts if chart is not None]
  if not present:
    line = 'This run logged neither β nor parts of the divergence.'
    return page.section(title, '', page.note(line))
  return page.section(title, '', page.grid('two', map(_figure, present)))


def _breakdown(
  run: RunRecord, categories: Chart | None, seconds: Chart | None
) -> str:
  present = [chart for chart in (categories, seconds) if chart is not None]
  absent = []
  if categories is None:
    absent.append(f'There is no {run.goal.title.lower()} by category yet.')
  if seconds is None:
    absent.append('This run logged no seconds of its steps.')
  return page.section(
    'Categories and time',
    '',
    page.grid('two', map(_figure, present)) if present else '',
    page.notes(absent),
  )


def _named_settings(record: Record) -> list[tuple[str, Any]]:
  return list(flatten_dict(record, sep='.').items())


def _facts(run: RunRecord) -> str:
  summary = run.summary or {}
  entries: list[tuple[str, Any]] = [
    ('Method', run.title),
    ('Steps', run.steps),
  ]
  if 'seconds' in summary:
    entries.append(('Training time', duration(summary['seconds'])))
  speed = (summary.get('throughput') or {}).get('samples_per_second')
  logged = series(run.metrics, 'samples_per_second')[1]
  if not is_finite(speed) and len(logged):
    speed = float(logged.mean())
  if is_finite(speed):
    entries.append(('Throughput', f'{speed:.1f} samples/s'))
  if beta := summary.get('beta'):
    span = f'{decimal(beta.get("min"))} to {decimal(beta.get("max"))}'
    entries.append(('β', f'mean {decimal(beta.get("mean"))}, {span}'))
    negative = percent(beta.get('fraction_negative'))
    entries.append(('Samples with β < 0', negative))
  about = {k: v for k, v in run.config.items() if k != 'config'}
  settings = _named_settings(run.settings)
  if 'config' in run.config:
    entries += [(n.replace('_', ' '), v) for n, v in _named_settings(about)]
  folded = page.folded_settings(
    f'Configuration, {len(settings)} values', settings
  )
  absent = page.note('The settings are unknown: there is no config.json.')
  return page.section(
    'The run', '', page.definition_list(entries), folded if settings else absent
  )
