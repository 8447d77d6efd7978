"""The costs of compiled programs as a text table."""

from typing import Any

from adrpo_jax.compile.advice import advice
from adrpo_jax.compile.chips import GIB


def table(report: dict[str, Any]) -> str:
  """Returns a verdict, a row for each program, and its collectives."""
  capacity = report['hbm_capacity_bytes'] / GIB
  peak = report['hbm_peak_bytes'] / GIB
  unit = 'chip' if report['devices'] == report['chips'] else 'device'
  slices = f'{report["num_slices"]} × ' if report['num_slices'] > 1 else ''
  mesh = ', '.join(f'{k} {v}' for k, v in report['mesh'].items())
  lines = [
    f'{slices}{report["topology"]}, {report["chips"]} chips ({mesh}), '
    f'{report["samples"]} samples a step',
    f'{"fits" if report["fits"] else "DOES NOT FIT"}: {peak:.2f} of '
    f'{capacity:.0f} GiB a {unit}',
    *advice(report),
    '',
    'program        HBM GiB: args  temps   peak  beside   alive   TFLOP  '
    'moved GiB  '
    'sent GiB  a link   roofline s  bound            MFU ≤',
  ]
  for name, program in report['programs'].items():
    if 'refused' in program:
      lines.append(f'{name:13}  refused: {program["refused"]}')
      continue
    memory, roofline = program['hbm_bytes'], program['roofline']
    seconds = roofline['seconds'][roofline['bound']]
    lines.append(
      f'{name:13}  {memory["arguments"] / GIB:13.2f} '
      f'{memory["temporaries"] / GIB:6.2f} '
      f'{program["hbm_peak_bytes"] / GIB:6.2f} '
      f'{program["beside_bytes"] / GIB:7.2f} '
      f'{memory["alive"] / GIB:7.2f} {program["flops"] / 1e12:7.1f} '
      f'{program["bytes_moved"] / GIB:10.1f} '
      f'{program["collective_bytes"] / GIB:9.2f} '
      f'{max(program["link_bytes"].values(), default=0) / GIB:7.2f} '
      f'{seconds:12.3f}  '
      f'{roofline["bound"]:15} {roofline["mfu_bound"]:6.1%}'
    )
  for name, program in report['programs'].items():
    if 'refused' in program:
      continue
    lines += ['', f'{name}{_times(program["runs"])}, seconds at least:']
    if drawn := program.get('token_steps'):
      lines.append(f'  {_drawn(drawn, report.get("completion_lengths"))}')
    lines += [
      f'  {kind:15} {seconds:8.3f}'
      for kind, seconds in program['roofline']['seconds'].items()
    ]
    lines += [
      f'  {c["kind"]:18} among {c["group"]:4}  {c["count"]:6} times  '
      f'{c["bytes"] / GIB:8.3f} GiB  {_way(c)}'
      for c in program['collectives']
    ]
    lines.append('  largest buffers:')
    lines += [
      f'  {b["bytes"] / GIB:8.3f} GiB  {b["type"]:28} {b["source"]}'
      for b in program['largest_buffers']
    ]
  return '\n'.join(lines)


def _drawn(drawn: dict[str, Any], lengths: dict[str, float] | None) -> str:
  """Returns 'completions of 256 ± 200 tokens: 512 rows 900 times, ...'."""
  kind = 'of their whole room'
  if lengths:
    kind = f'of {lengths["mean"]:g} ± {lengths["spread"]:g} tokens'
  batches = (f'{rows} rows {steps} times' for rows, steps in drawn['batches'])
  return f'completions {kind}: {", ".join(batches)}'


def _way(collective: dict[str, Any]) -> str:
  """Returns the network of a collective: 'links of x: 2, y: 1'."""
  if collective['between_slices']:
    return 'between slices'
  links = collective['links'].items()
  along = ', '.join(f'{axis}: {count:.3g}' for axis, count in links)
  return f'links of {along}' if along else 'within a chip'


def _times(runs: int) -> str:
  """Returns how often a program runs: ' (4 times a step)'."""
  if not runs:
    return ' (not in every step)'
  return '' if runs == 1 else f' ({runs} times a step)'
