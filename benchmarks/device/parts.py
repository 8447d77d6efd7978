"""The parts of a run: compared sides, main jobs, runs of a released model."""

from collections.abc import Callable
from functools import partial
import importlib.util
import json
import pathlib
import statistics
import sys
import tempfile
import time
from typing import Any, NamedTuple

from benchmarks.device import child, settings
from benchmarks.device.cards import utilization
from benchmarks.device.released import released
from benchmarks.device.settings import Request

SPEED_AIM = 1.2  # times the peer
MFU_AIM = 0.45  # of the update
GRACE = 0.9  # of a side's time: no step begins after that
# What a side imports beside the package's own needs.
PACKAGES = {
  'jax': (),
  'diffusers': ('torch', 'diffusers', 'peft', 'transformers'),
  'trl': ('torch', 'trl', 'transformers', 'datasets'),
}
MODULE = [sys.executable, '-m', 'benchmarks.device.side']

Result = dict[str, Any]


class Part(NamedTuple):
  """A part of a run.

  share: seconds of a run of twelve minutes that it may take
  run:   request -> what came of it
  """

  share: float
  run: Callable[[Request], Result]


def compared(
  request: Request,
  *,
  sides: dict[str, str],
  guidance: float,
  work: Callable,
  per_sample: str,
) -> Result:
  """Runs the sides one after another; rates, and ours over the peer's.

  A side gets an equal share of the time that is left. A peer whose packages are
  not installed is left out, and the result says so.

  Args:
    request: a rehearsal has two steps.
    sides: 'jax' and the peer -> the name of the side.
    guidance: of flow models.
    work: (settings, folder) -> the config.
    per_sample: what is counted, 'samples' or 'tokens'.
  """
  end = time.monotonic() + request.limit
  repeats = 2 if request.rehearse else 20
  config = work(
    settings.Settings(request.rehearse, guidance, repeats, request.limit),
    pathlib.Path('tiny' if request.rehearse else ''),
  )
  facts = settings.work_of(config)
  count = facts['prompts'] * facts['samples_per_prompt']
  count *= facts.get('completion_tokens', 1)
  missing = {name: _missing(PACKAGES[name]) for name in sides}
  present = [name for name in sides if not missing[name]]
  results: dict[str, Result] = {}
  trouble: dict[str, str] = {}
  for i, name in enumerate(present):
    left = (end - time.monotonic()) / (len(present) - i)
    command = [*MODULE, sides[name], f'--guidance={guidance}']
    command += [f'--limit={GRACE * left:.0f}', f'--repeats={repeats}']
    command += ['--rehearse'] * request.rehearse
    if request.traces:
      command += [f'--trace={request.traces / sides[name]}']
    outcome = child.run(command, left)
    results[name] = outcome.result
    if outcome.trouble:
      trouble[name] = outcome.trouble
  return {
    'work': facts,
    'sides': {
      name: _with_rates(result, results['jax'], count, per_sample)
      for name, result in results.items()
    },
    'trouble': trouble,
    'not_installed': {name: lack for name, lack in missing.items() if lack},
    **_comparison(results),
  }


def quickstart(request: Request, *, family: str) -> Result:
  """The main job of a family, from its command to the report."""
  preset = ':debug' if request.rehearse else ''
  with tempfile.TemporaryDirectory() as folder:
    workdir = pathlib.Path(folder) / 'run'
    arguments = [
      f'--config=configs/{family}.py{preset}',
      f'--workdir={workdir}',
    ]
    outcome = child.run(
      [sys.executable, '-m', 'adrpo_jax.main', *arguments], request.limit
    )
    result: Result = {
      'command': ' '.join(['python -m adrpo_jax.main', arguments[0]]),
      'seconds_to_report': outcome.seconds,
      'trouble': {'jax': outcome.trouble} if outcome.trouble else {},
    }
    if outcome.code == 0:
      summary = json.loads((workdir / 'summary.json').read_text())
      result |= {name: summary[name] for name in ('steps', 'seconds', 'device')}
      result['samples_per_second'] = _rate(workdir)
  return result


def _missing(packages: tuple[str, ...]) -> list[str]:
  return [name for name in packages if importlib.util.find_spec(name) is None]


def _rate(workdir: pathlib.Path) -> float:
  """Samples a second in the median step."""
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  rates = [json.loads(line)['samples_per_second'] for line in lines]
  return round(statistics.median(rates), 1)


def _with_rates(result: Result, ours: Result, count: int, unit: str) -> Result:
  """Adds what is done in a second and an hour, and the share of the peak."""
  if 'step' not in result:
    return result
  rates = {
    f'{unit}_per_second': {
      stage: round(count / result[stage], 2)
      for stage in ('rollout', 'reward', 'update', 'step')
      if result.get(stage)
    },
    f'{unit}_per_gpu_hour': round(count / result['step'] * 3600),
  }
  flops = ours.get('model_flops', {})
  mfu = {
    stage: utilization(result['device'], flops[stage], result[stage])
    for stage in flops
  }
  return result | rates | {'mfu': mfu}


def _comparison(results: dict[str, Result]) -> Result:
  """How many times as fast we are, and what was aimed at."""
  ours = results['jax']
  peers = {k: r for k, r in results.items() if k != 'jax' and 'step' in r}
  if 'step' not in ours:
    return {'over_peer': {}, 'aims': []}
  over = {
    name: {
      stage: round(peer[stage] / ours[stage], 2)
      for stage in ('rollout', 'reward', 'update', 'step')
      if peer.get(stage) and ours.get(stage)
    }
    for name, peer in peers.items()
  }
  aims = [
    {'name': f'step over {name}', 'aim': SPEED_AIM, 'result': ratios['step']}
    for name, ratios in over.items()
  ]
  mfu = utilization(
    ours['device'], ours['model_flops']['update'], ours['update']
  )
  if mfu is not None:
    aims.append({'name': 'MFU of the update', 'aim': MFU_AIM, 'result': mfu})
  return {
    'over_peer': over,
    'aims': [aim | {'met': aim['result'] >= aim['aim']} for aim in aims],
  }


_flow = partial(
  compared,
  sides={'jax': 'flow_jax', 'diffusers': 'flow_torch'},
  work=settings.flow_config,
  per_sample='samples',
)
PARTS: dict[str, Part] = {
  't2i': Part(300, partial(_flow, guidance=1.0)),
  't2i_guidance': Part(240, partial(_flow, guidance=4.5)),
  'llm': Part(
    120,
    partial(
      compared,
      sides={'jax': 'text_jax', 'trl': 'text_trl'},
      guidance=1.0,
      work=settings.text_config,
      per_sample='tokens',
    ),
  ),
  'quickstart_t2i': Part(70, partial(quickstart, family='t2i')),
  'quickstart_llm': Part(50, partial(quickstart, family='llm')),
  'smollm2': Part(420, released),
}
