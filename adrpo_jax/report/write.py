"""report.html of a run: one self-contained page that opens from disk.

Written again at any time from what the workdir holds; what is missing, as in a
run that is still going, is said in a line where it would stand.
"""

from typing import Any

from etils import epath
from flax.traverse_util import flatten_dict

from adrpo_jax.report import charts as report_charts
from adrpo_jax.report import curves as report_curves
from adrpo_jax.report import headline, page
from adrpo_jax.report.cards import RULE, Column, same_prompts
from adrpo_jax.report.cards_by_kind import manner_of
from adrpo_jax.report.charts import Chart
from adrpo_jax.report.run_record import Record, RunRecord, read_run, series
from adrpo_jax.stats.measures import method_title
from adrpo_jax.stats.number_format import known, percent, plain


def write_report(workdir: epath.PathLike) -> epath.Path:
  """Writes WORKDIR/report.html and the same figures as WORKDIR/figures/*.png.

  Raises:
    FileNotFoundError: the folder holds none of the files of a run.
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
    f'{method_title(run.method)} · {run.workdir.resolve().name}',
    _header(run),
    page.notes(run.notes),
    headline.headline(run),
    _samples(run),
    _learning(curves, unlogged),
    _paths(paths),
    _adaptation(beta, buckets, signs),
    _breakdown(categories, seconds),
    _facts(run),
    '<footer>Written by <code>adrpo_jax</code>. Errors are standard errors '
    'over held-out prompts.</footer>',
  )
  report = run.workdir / 'report.html'
  report.write_text(html, encoding='utf-8')
  others = (beta, buckets, signs, categories, seconds)
  charts = [*curves, *paths, *(chart for chart in others if chart is not None)]
  folder = run.workdir / 'figures'
  folder.mkdir(parents=True, exist_ok=True)
  for chart in charts:
    (folder / f'{chart.name}.png').write_bytes(chart.drawing.light)
  if columns := _columns(run):
    for name, content in manner_of(columns).files(columns).items():
      (folder / name).write_bytes(content)
  return report


def _columns(run: RunRecord) -> list[Column[Any]]:
  """Base and tuned samples, or nothing where they are not of a pair."""
  if run.base_samples is None or run.tuned_samples is None:
    return []
  columns = [
    Column('Base', run.base_samples),
    Column(headline.tuned_title(run), run.tuned_samples),
  ]
  return columns if same_prompts(columns) else []


def _header(run: RunRecord) -> str:
  name = method_title(run.method)
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
  """Seconds as a reader would say them: "47 s", "3 min 30 s", "2 h 05 min"."""
  whole = round(seconds)
  if whole < 60:
    return f'{whole} s'
  if whole < 3600:
    return f'{whole // 60} min {whole % 60:02d} s'
  return f'{whole // 3600} h {whole // 60 % 60:02d} min'


def _samples(run: RunRecord) -> str:
  columns = _columns(run)
  if not columns:
    line = 'No samples of base and tuned for the same prompts yet.'
    return page.section('Base and tuned', '', page.note(line))
  manner = manner_of(columns)
  lead = f'{RULE} {manner.lead}'
  return page.section(manner.title, lead, manner.pairs(*columns))


def _learning(curves: list[Chart], unlogged: list[str]) -> str:
  if not curves:
    return page.section('Training', '', page.note('Nothing logged yet.'))
  key = page.key(
    ('of-tuned pale', 'each step, on training prompts'),
    ('of-tuned', 'running mean over a tenth of the run'),
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
    'Every evaluation is a point, from the base (gray) to the latest (blue); '
    'small ones are steps, on training prompts. A run that over-optimizes '
    'turns away from its diversity, or buys little reward with much divergence.'
  )
  if not charts:
    line = 'Drawn once two evaluations, or two steps, know both.'
    return page.section('What the reward costs', '', page.note(line))
  return page.section(
    'What the reward costs', lead, page.grid('two', map(_figure, charts))
  )


def _adaptation(*charts: Chart | None) -> str:
  title = 'The pull to the reference'
  there = [chart for chart in charts if chart is not None]
  if not there:
    line = 'This run logged neither β nor parts of the divergence.'
    return page.section(title, '', page.note(line))
  return page.section(title, '', page.grid('two', map(_figure, there)))


def _breakdown(categories: Chart | None, seconds: Chart | None) -> str:
  there = [chart for chart in (categories, seconds) if chart is not None]
  absent = []
  if categories is None:
    absent.append('No success by category yet.')
  if seconds is None:
    absent.append('No seconds of a step were logged.')
  return page.section(
    'By category, and by second',
    '',
    page.grid('two', map(_figure, there)) if there else '',
    page.notes(absent),
  )


def _named_settings(record: Record) -> list[tuple[str, Any]]:
  return list(flatten_dict(record, sep='.').items())


def _facts(run: RunRecord) -> str:
  summary = run.summary or {}
  entries: list[tuple[str, Any]] = [
    ('Method', method_title(run.method)),
    ('Steps', run.steps),
  ]
  if 'seconds' in summary:
    entries.append(('Training time', duration(summary['seconds'])))
  speed = (summary.get('throughput') or {}).get('samples_per_second')
  logged = series(run.metrics, 'samples_per_second')[1]
  if not known(speed) and len(logged):
    speed = float(logged.mean())
  if known(speed):
    entries.append(('Throughput', f'{speed:.1f} samples/s'))
  if beta := summary.get('beta'):
    span = f'{plain(beta.get("min"))} to {plain(beta.get("max"))}'
    entries.append(('β', f'mean {plain(beta.get("mean"))}, {span}'))
    released = percent(beta.get('fraction_negative'))
    entries.append(('Samples with β < 0', released))
  about = {k: v for k, v in run.config.items() if k != 'config'}
  settings = _named_settings(run.settings)
  if 'config' in run.config:
    entries += [(n.replace('_', ' '), v) for n, v in _named_settings(about)]
  folded = page.folded_settings(
    f'Configuration, {len(settings)} values', settings
  )
  absent = page.note('No config.json: the settings are unknown.')
  return page.section(
    'The run', '', page.facts(entries), folded if settings else absent
  )
