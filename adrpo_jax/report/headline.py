"""The outcome of a run: a sentence, four cards, and the table behind them."""

from collections.abc import Iterator
import math
from typing import Any

from adrpo_jax.report import page
from adrpo_jax.report.run_record import RunRecord
from adrpo_jax.stats.measures import Measure, difference, ratio
from adrpo_jax.stats.number_format import known, percent, plain


def tuned_title(run: RunRecord) -> str:
  """What the model after training is called; of a run that goes on, when."""
  if run.summary:
    return 'Tuned'
  return f'Step {run.final["step"]}' if 'step' in run.final else 'Tuned'


def verdict(run: RunRecord) -> str:
  """The outcome in a sentence; stars set its figures in bold."""
  change, error = difference(run.base, run.final, 'success')
  if change is None:
    return (
      'This run has not been evaluated on both sides yet, so there is nothing '
      'to compare. What it has logged so far is below.'
    )
  before, after = run.base['success'], run.final['success']
  points = run.measures['success'].difference(change, error)
  where = '' if run.summary else f' by step {run.final["step"]}'
  if change and (error is None or abs(change) > 2 * error):
    verb = 'rose' if change > 0 else 'fell'
    outcome = f'{verb} from {percent(before)} to *{percent(after)}*{where}'
  else:
    outcome = (
      f'shows no clear change{where}: {percent(before)} before, '
      f'*{percent(after)}* after'
    )
  line = f'Success on held-out prompts {outcome} (*{points}*)'
  kept = ratio(run.base, run.final, 'diversity')
  if kept is not None:
    line += f', with *{percent(kept)}* of the diversity of the base'
  return line + '.'


def headline(run: RunRecord) -> str:
  """The section that sets base and tuned model beside each other."""
  if not run.base and not run.final:
    return page.section('Result', '', page.note('No evaluation yet.'))
  tuned = tuned_title(run)
  rows = [
    _row(measure, run)
    for measure in run.measures.values()
    if known(run.base.get(measure.key)) or known(run.final.get(measure.key))
  ]
  unfinished = (
    f'This run has not finished: its numbers are those of {tuned.lower()}.'
  )
  count = run.final.get('samples') or run.base.get('samples')
  lead = (
    'Both are measured by the same evaluation: held-out prompts, the same '
    'noise, the same sampler settings'
    + (f', {count:,} samples each.' if count else '.')
  )
  return page.section(
    'Result',
    lead,
    '' if run.summary else page.note(unfinished),
    page.grid('cards', _cards(run)),
    page.table(['', 'Base', tuned, 'Difference'], rows),
  )


def _row(measure: Measure, run: RunRecord) -> list[str]:
  key = measure.key
  places = measure.places(run.base.get(key), run.final.get(key))
  cells = [
    measure.written(record.get(key), record.get(f'{key}_se'), places)
    for record in (run.base, run.final)
  ]
  change, error = difference(run.base, run.final, key)
  tone = _tone(measure, change, error)
  name = (
    f'{page.text(measure.title)}<small>{page.text(measure.meaning)}</small>'
  )
  changed = page.number(measure.difference(change, error, places))
  return [name, *map(page.number, cells), f'<td class="{tone}">{changed}</td>']


def _tone(measure: Measure, change: float | None, error: float | None) -> str:
  """Green or red where a change is beyond two standard errors."""
  if change is None or error is None or abs(change) <= 2 * error:
    return ''
  return {1: 'good', -1: 'bad'}.get(
    int(math.copysign(1, change)) * measure.better, ''
  )


def _cards(run: RunRecord) -> Iterator[str]:
  base, final = run.base, run.final
  ceiling = (run.summary or {}).get('predicted_ceiling')
  yield _card(
    'Success',
    percent(final.get('success')),
    f'base {percent(base.get("success"))}',
    _bars(base.get('success'), final.get('success'), ceiling),
  )
  before = plain(base.get('diversity'))
  yield _card(
    'Diversity kept',
    percent(ratio(base, final, 'diversity')),
    f'{plain(final.get("diversity"))}, base {before}',
    _bars(base.get('diversity'), final.get('diversity'), None),
  )
  yield _card(
    'Reward',
    plain(final.get('reward')),
    f'base {plain(base.get("reward"))}',
    _bars(base.get('reward'), final.get('reward'), None),
  )
  divergence = run.measures['divergence']
  yield _card(
    f'{divergence.head} to the reference',
    divergence.written(final.get('divergence')),
    divergence.meaning,
    '',
  )


def _card(title: str, value: str, line: str, bars: str) -> str:
  number, _, unit = value.partition(' ')
  unit = f' <small>{page.text(unit)}</small>' if unit else ''
  return (
    f'<div class="card stat"><h3>{page.text(title)}</h3>'
    f'<div class="value">{page.text(number)}{unit}</div>'
    f'<p>{page.text(line)}</p>{bars}</div>'
  )


def _bars(base: Any, tuned: Any, ceiling: Any) -> str:
  """The tuned bar above the base's and a mark at the ceiling, in [0, 1].

  Nothing where the two are not known, or not shares of a whole.
  """
  if not all(known(value) and 0 <= value <= 1 for value in (base, tuned)):
    return ''
  mark = meaning = ''
  if known(ceiling):
    mark = f'<i class="mark" style="left:{_across(ceiling)}"></i>'
    meaning = f'<p class="of-mark">predicted ceiling {percent(ceiling)}</p>'
  return (
    '<div class="bullet" aria-hidden="true"><i class="rail"></i>'
    '<i class="rail base"></i>'
    f'<i class="tuned" style="width:{_across(tuned)}"></i>'
    f'<i class="base" style="width:{_across(base)}"></i>{mark}</div>{meaning}'
  )


def _across(share: float) -> str:
  return f'{100 * min(max(share, 0.0), 1.0):.1f}%'
