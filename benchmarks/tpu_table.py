"""Prints the compile reports in results/tpu/ as two tables.

  PYTHONPATH=. python benchmarks/tpu_table.py

So many chips "share weights": each holds a part of every one. Peak memory is
that of the largest program, with the arrays that lie beside it. "Sent" is the
number of bytes that a chip sends in a step: in rollout, decoding, reward and
update; "a link" those of the busiest link. MFU is the bound of the roofline of
the update, for the operations that the model asks for. The second table has
rollouts whose completions are of uneven length.
"""

import json
import pathlib

from flax.traverse_util import flatten_dict

from adrpo_jax.system import config_keys

ROLLOUT_TITLES = (
  ('program', '---'),
  ('chips', '---'),
  ('tokens of a completion', '---:'),
  ('sequences at a time', '---:'),
  ('steps', '---:'),
  ('peak, GiB a chip', '---:'),
  ('rollout, s', '---:'),
  ('tokens/s ≤', '---:'),
)
FOLDER = pathlib.Path(__file__).parent / 'results' / 'tpu'
GIB = 2**30
TITLES = (
  ('program', '---'),
  ('chips', '---'),
  ('share weights', '---:'),
  ('samples a step', '---:'),
  ('peak, GiB a chip', '---:'),
  ('rollout, s', '---:'),
  ('update, s', '---:'),
  ('sent, GiB a chip', '---:'),
  ('GiB a link', '---:'),
  ('update bound by', '---'),
  ('MFU ≤', '---:'),
)


def current(config: dict) -> dict:
  """A stored config by dotted keys, each under the name it has now."""
  flat = flatten_dict(config, sep='.')
  return {config_keys.current(key): value for key, value in flat.items()}


def program(config: dict) -> str:
  """Returns the model, its trained part, and the size of a sample."""
  config = current(config)
  name, kind = config['model.architecture'], 'full'
  if config['model.lora_rank']:
    kind = 'LoRA'
  if 'model.resolution' in config:
    scale = config['sampler.guidance_scale']
    guided = f', guidance {scale:g}' if scale > 1 else ''
    return f'{name}, {kind}, {config["model.resolution"]}²{guided}'
  prompt = config['prompts.max_prompt_length']
  completion = config['sampler.max_completion_length']
  once = ', a prompt read once' if config.get('compute.shared_prefix') else ''
  return f'{name}, {kind}, {prompt} + {completion} tokens{once}'


def sort_key(report: dict) -> tuple:
  """Returns the sort key: model, trained part, size, and chips."""
  config = current(report['config'])
  return (
    'model.resolution' not in config,
    config['model.architecture'],
    not config['model.lora_rank'],
    config.get('model.resolution', 0),
    report['chips'],
    report['topology'],
    bool(config.get('compute.shared_prefix')),
  )


def row(report: dict) -> list[str]:
  """Returns the cells of one report."""
  slices, topology = report['num_slices'], report['topology']
  programs = report['programs']
  update = programs['update']
  runs = {name: costs.get('runs', 1) for name, costs in programs.items()}
  step = [(runs[name], c) for name, c in programs.items() if runs[name]]
  sent = sum(times * costs['collective_bytes'] for times, costs in step)
  # Reports of the first versions do not say what a link passes.
  known = all('link_bytes' in costs for _, costs in step)
  link = known and sum(
    times * max(costs['link_bytes'].values(), default=0.0)
    for times, costs in step
  )
  peak, capacity = report['hbm_peak_bytes'], report['hbm_capacity_bytes']
  fits = '' if report['fits'] else ', **does not fit**'
  rollout, own = (
    runs[stage] * max(programs[stage]['roofline']['seconds'].values())
    for stage in ('rollout', 'update')
  )
  return [
    program(report['config']),
    f'{f"{slices} × " if slices > 1 else ""}{topology} ({report["chips"]})',
    str(report['mesh']['fsdp'] * report['mesh']['tensor']),
    str(report['samples']),
    f'{peak / GIB:.1f} of {capacity / GIB:.0f}{fits}',
    f'{rollout:.2f}',
    f'{own:.2f}',
    f'{sent / GIB:.1f}',
    f'{link / GIB:.2f}' if known else '—',
    update['roofline']['bound'],
    f'{update["roofline"]["mfu_bound"]:.0%}',
  ]


def rollout_row(report: dict) -> list[str]:
  """Returns the cells of a report of a rollout alone."""
  config = current(report['config'])
  lengths, rollout = report['completion_lengths'], report['programs']['rollout']
  steps = rollout['token_steps']
  rows = config['sampler.max_num_seqs'] or report['samples']
  seconds = max(rollout['roofline']['seconds'].values())
  tokens = report['samples'] * lengths['mean']
  return [
    program(report['config']),
    f'{report["topology"]} ({report["chips"]})',
    f'{lengths["mean"]:g} ± {lengths["spread"]:g}',
    f'{rows} of {report["samples"]}',
    str(sum(count for _, count in steps['batches'])),
    f'{rollout["hbm_peak_bytes"] / GIB:.1f}',
    f'{seconds:.2f}',
    f'{tokens / seconds:,.0f}',
  ]


def markdown(titles: tuple, rows: list[list[str]]) -> str:
  """Returns a table of titles, each with its rule, and rows."""
  names, rules = zip(*titles, strict=True)
  lines = [names, rules, *rows]
  return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def tables() -> str:
  """Returns two Markdown tables with a line for each report."""
  reports = [json.loads(file.read_text()) for file in FOLDER.glob('*.json')]
  reports = sorted(reports, key=sort_key)
  whole = [row(report) for report in reports if 'update' in report['programs']]
  uneven = [
    rollout_row(report)
    for report in reports
    if report.get('completion_lengths')
  ]
  return f'{markdown(TITLES, whole)}\n\n{markdown(ROLLOUT_TITLES, uneven)}'


if __name__ == '__main__':
  print(tables())
