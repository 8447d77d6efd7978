"""The result of a run: a sentence, four cards, and the table of measures."""

from collections.abc import Iterator
import math
from typing import Any

from adrpo_jax.report import page
from adrpo_jax.report.run_record import RunRecord
from adrpo_jax.stats.measures import Measure, difference, ratio
from adrpo_jax.stats.number_format import (
  decimal,
  decimal_difference,
  decimal_places,
  is_finite,
  percent,
)
from adrpo_jax.stats.overoptimization import Fall, falls


def tuned_title(run: RunRecord) -> str:
  """Returns the name of the trained model: "Tuned", or "Step N" meanwhile."""
  if run.summary:
    return 'Tuned'
  return f'Step {run.final["step"]}' if 'step' in run.final else 'Tuned'


def verdict(run: RunRecord) -> str:
  """Returns the result in one sentence. *Stars* set numbers in bold."""
  goal = run.goal
  change, error = difference(run.base, run.final, goal.key)
  if change is None:
    return (
      'Base and tuned model have not both been evaluated yet, so there is '
      'nothing to compare. The page shows what the run has logged so far.'
    )
  pair = run.base[goal.key], run.final[goal.key]
  places = goal.places(*pair)
  before, after = (goal.format(value, places=places) for value in pair)
  points = goal.difference(change, error, places)
  where = '' if run.summary else f' by step {run.final["step"]}'
  if change and (error is None or abs(change) > 2 * error):
    verb = 'rose' if change > 0 else 'fell'
    outcome = f'{verb} from {before} to *{after}*{where}'
  else:
    outcome = f'shows no clear change{where}: {before} before, *{after}* after'
  line = f'{goal.title} on held-out prompts {outcome} (*{points}*)'
  diversity = ratio(run.base, run.final, 'diversity')
  if diversity is not None:
    kept = goal.format(diversity)
    line += f', with *{kept}* of the diversity of the base'
  return line + '.'


def headline(run: RunRecord) -> str:
  """Returns the section that compares base and tuned model."""
  if not run.base and not run.final:
    return page.section('Result', '', page.note('No evaluation yet.'))
  tuned = tuned_title(run)
  rows = [
    _row(measure, run)
    for measure in run.measures.values()
    if is_finite(run.base.get(measure.key))
    or is_finite(run.final.get(measure.key))
  ]
  unfinished = (
    f'This run has not finished. The numbers are from {tuned.lower()}.'
  )
  count = run.final.get('samples') or run.base.get('samples')
  lead = (
    'Both models are evaluated on the same held-out prompts, with the same '
    'noise and sampler settings'
    + (f', on {count:,} samples each.' if count else '.')
  )
  return page.section(
    'Result',
    lead,
    '' if run.summary else page.note(unfinished),
    page.notes(warnings(run)),
    page.grid('cards', _cards(run)),
    page.table(['', 'Base', tuned, 'Difference'], rows),
  )


def warnings(run: RunRecord) -> list[str]:
  """Returns a line for each monitored reward that training has worsened."""
  reward = run.settings.get('reward')
  names = reward.get('monitor_only', ()) if isinstance(reward, dict) else ()
  return [_warning(fall) for fall in falls(run.evaluations, names)]


def _warning(fall: Fall) -> str:
  places = decimal_places(fall.peak, fall.last)
  change = decimal_difference(fall.last - fall.peak, fall.error, places)
  return (
    f'Over-optimization: {fall.name}, which is monitored and not trained on, '
    f'fell from {decimal(fall.peak)} at step {fall.step} to '
    f'{decimal(fall.last)} ({change}), while the trained reward rose from '
    f'{decimal(fall.trained_peak)} to {decimal(fall.trained_last)}. Stop at '
    f'step {fall.step}, or weigh the divergence from the reference more.'
  )


def _row(measure: Measure, run: RunRecord) -> list[str]:
  key = measure.key
  places = measure.places(run.base.get(key), run.final.get(key))
  cells = [
    measure.format(record.get(key), record.get(f'{key}_se'), places)
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
  """Returns the CSS class of a change above two standard errors, else ''."""
  if change is None or error is None or abs(change) <= 2 * error:
    return ''
  return {1: 'good', -1: 'bad'}.get(
    int(math.copysign(1, change)) * measure.better, ''
  )


def _cards(run: RunRecord) -> Iterator[str]:
  """Yields cards; only a share has a place on a bar from 0 to 1."""
  base, final, goal = run.base, run.final, run.goal
  ceiling = (run.summary or {}).get('predicted_ceiling')
  bars = _bars if goal.share else lambda base, tuned, ceiling: ''
  yield _card(
    goal.title,
    goal.format(final.get(goal.key)),
    f'base {goal.format(base.get(goal.key))}',
    bars(base.get(goal.key), final.get(goal.key), ceiling),
  )
  before = decimal(base.get('diversity'))
  yield _card(
    'Diversity kept',
    goal.format(ratio(base, final, 'diversity')),
    f'{decimal(final.get("diversity"))}, base {before}',
    bars(base.get('diversity'), final.get('diversity'), None),
  )
  if goal.share:
    yield _card(
      'Reward',
      decimal(final.get('reward')),
      f'base {decimal(base.get("reward"))}',
      bars(base.get('reward'), final.get('reward'), None),
    )
  divergence = run.measures['divergence']
  yield _card(
    f'{divergence.head} to the reference',
    divergence.format(final.get('divergence')),
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
  """Returns a bar for tuned above one for base, and a mark at the ceiling.

  Returns nothing if base or tuned is unknown or outside [0, 1].
  """
  if not all(is_finite(value) and 0 <= value <= 1 for value in (base, tuned)):
    return ''
  mark = meaning = ''
  if is_finite(ceiling):
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
