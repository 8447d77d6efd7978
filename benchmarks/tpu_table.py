"""The compile reports of results/tpu/ as one table.

  PYTHONPATH=. python benchmarks/tpu_table.py

Peak memory is of the largest program; sent are the bytes that a chip sends in
an update; MFU is the bound of the roofline, of model FLOPs without recomputing.
"""

import json
import pathlib

FOLDER = pathlib.Path(__file__).parent / 'results' / 'tpu'
GIB = 2**30
TITLES = (
  ('program', '---'),
  ('chips', '---'),
  ('samples a step', '---:'),
  ('peak, GiB a chip', '---:'),
  ('rollout, s', '---:'),
  ('update, s', '---:'),
  ('sent, GiB a chip', '---:'),
  ('update bound by', '---'),
  ('MFU ≤', '---:'),
)


def row(name: str, report: dict) -> list[str]:
  """The cells of one report."""
  kind, pixels = name.split('_')[:2]
  slices, topology = report['num_slices'], report['topology']
  programs = report['programs']
  update = programs['update']
  peak, capacity = report['hbm_peak_bytes'], report['hbm_capacity_bytes']
  fits = '' if report['fits'] else ', **does not fit**'
  rollout, own = (
    max(programs[stage]['roofline']['seconds'].values())
    for stage in ('rollout', 'update')
  )
  return [
    f'{kind}, {pixels}²',
    f'{f"{slices} × " if slices > 1 else ""}{topology} ({report["chips"]})',
    str(report['samples']),
    f'{peak / GIB:.1f} of {capacity / GIB:.0f}{fits}',
    f'{rollout:.2f}',
    f'{own:.2f}',
    f'{update["collective_bytes"] / GIB:.1f}',
    update['roofline']['bound'],
    f'{update["roofline"]["mfu_bound"]:.0%}',
  ]


def table() -> str:
  """Markdown, a line for each report: by program, then by chips."""
  found = []
  for file in FOLDER.glob('*.json'):
    report = json.loads(file.read_text())
    kind, pixels = file.stem.split('_')[:2]
    place = report['topology'].partition(':')[0], report['chips']
    found.append(((kind != 'lora', int(pixels), place), file.stem, report))
  rows = [row(name, report) for _, name, report in sorted(found)]
  titles, rules = zip(*TITLES, strict=True)
  lines = [titles, rules, *rows]
  return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


if __name__ == '__main__':
  print(table())
