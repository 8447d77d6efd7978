"""Runs the parts within a budget of time; one JSON file for each.

python -m benchmarks.device --out=benchmarks/results/device
python -m benchmarks.device --rehearse --only=llm --out=DIR
"""

import argparse
import datetime
import importlib.metadata
import json
import pathlib
import platform
import subprocess
import sys
import time
from typing import Any

from benchmarks.device.parts import PARTS, Part
from benchmarks.device.settings import Request

PACKAGES = (
  *('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'torch'),
  *('diffusers', 'peft', 'transformers', 'trl', 'numpy'),
)
OUT = pathlib.Path('benchmarks/results/device')


def main() -> None:
  """Runs the parts that the command line names."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--only', type=_names, default=list(PARTS))
  parser.add_argument('--skip', type=_names, default=[])
  parser.add_argument('--rehearse', action='store_true', help='tiny, on a CPU')
  parser.add_argument('--minutes', type=float, default=12.0, help='of all')
  parser.add_argument('--commit', default='', help='where git cannot say')
  parser.add_argument('--out', type=pathlib.Path, default=OUT)
  parser.add_argument('--smollm2', type=pathlib.Path, help='its folder')
  parser.add_argument('--traces', type=pathlib.Path, help='a folder for them')
  args = parser.parse_args()
  args.out.mkdir(parents=True, exist_ok=True)
  parts = {
    name: part
    for name, part in PARTS.items()
    if name in args.only and name not in args.skip
  }
  end = time.monotonic() + 60 * args.minutes
  facts = _facts(args)
  failed = []
  while parts:
    limit = _limit(parts, end - time.monotonic())
    name, part = next(iter(parts.items()))
    del parts[name]
    print(f'== {name}, at most {limit:.0f} s', flush=True)
    since = time.monotonic()
    result = part.run(Request(limit, args.rehearse, args.smollm2, args.traces))
    spent = round(time.monotonic() - since, 1)
    report = {'part': name, **facts, 'limit_s': round(limit), 'spent_s': spent}
    file = args.out / f'{name}.json'
    file.write_text(json.dumps(report | result, indent=1) + '\n')
    print(_summary(result), flush=True)
    failed += [name] if result['trouble'] else []
  if failed:
    sys.exit(f'Cut or failed, see trouble in the files: {", ".join(failed)}.')


def _names(text: str) -> list[str]:
  names = text.split(',')
  unknown = set(names) - set(PARTS)
  if unknown:
    raise argparse.ArgumentTypeError(
      f'Expected parts out of {", ".join(PARTS)}, got {", ".join(unknown)}.'
    )
  return names


def _limit(parts: dict[str, Part], left: float) -> float:
  """The first part's share of the time that is left."""
  shares = [part.share for part in parts.values()]
  return left * shares[0] / sum(shares)


def _facts(args: argparse.Namespace) -> dict[str, Any]:
  """What every file says: the commit, versions, machine and command."""
  return {
    'command': ' '.join(['benchmarks/device.sh', *sys.argv[1:]]),
    'rehearsal': args.rehearse,
    'commit': args.commit or _commit(),
    'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'python': platform.python_version(),
    'versions': {name: _version(name) for name in PACKAGES},
  }


def _commit() -> str:
  told = subprocess.run(
    ['git', 'describe', '--always', '--dirty'], capture_output=True, text=True
  )
  return told.stdout.strip() or 'unknown'


def _version(package: str) -> str | None:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _summary(result: dict[str, Any]) -> str:
  """A part's result in a few lines."""
  if 'sides' not in result:
    shown = {k: v for k, v in result.items() if k != 'trouble' and v}
    lines = ['  ' + ', '.join(f'{k} {v}' for k, v in shown.items())]
  else:
    stages = ('rollout', 'reward', 'update', 'step', 'steps', 'peak_mib')
    lines = [
      f'  {name}: ' + ', '.join(f'{s} {side.get(s)}' for s in stages)
      for name, side in result['sides'].items()
    ]
    lines += [
      f'  {aim["name"]}: {aim["result"]}, aim {aim["aim"]}, '
      f'{"met" if aim["met"] else "NOT met"}'
      for aim in result['aims']
    ]
  for name, lack in result.get('not_installed', {}).items():
    lines.append(f'  {name}: left out, not installed: {", ".join(lack)}')
  lines += [f'  {name}: {why}' for name, why in result['trouble'].items()]
  return '\n'.join(lines)


if __name__ == '__main__':
  main()
