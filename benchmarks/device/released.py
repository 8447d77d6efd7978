"""The runs of `benchmarks/real_model` on a card, many at a time.

One step of one run goes first, alone: what it compiles is then there for all.
"""

import json
import pathlib
import statistics
import sys
import tempfile
import time
from typing import Any

from benchmarks.device import child
from benchmarks.device.settings import Request
from benchmarks.real_model import run

JOBS = ('--jobs=8',)
SIZES = (
  *('--config.steps=60', '--config.prompts.group_size=8'),
  *('--config.compute.microbatches=1', '--config.log.tensorboard=False'),
)
REHEARSED_JOBS = ('--jobs=2', '--seeds=1', '--methods=adrpo,grpo')
REHEARSED_SIZES = (
  *('--config.steps=2', '--config.eval.num_prompts=2'),
  '--config.eval.batch_size=2',
)
FIRST = ('--config.steps=1', '--config.eval.every=0')
WRITING = 15.0  # seconds for the tables

Result = dict[str, Any]


def released(request: Request) -> Result:
  """Trains methods × seeds until the limit; what is finished then, counts."""
  with tempfile.TemporaryDirectory() as made:
    end = time.monotonic() + request.limit - WRITING
    model, jobs, sizes = request.smollm2, JOBS, SIZES
    if request.rehearse:
      model = _tiny(pathlib.Path(made) / 'tiny')
      jobs, sizes = REHEARSED_JOBS, REHEARSED_SIZES
    if model is None:
      lack = 'Expected --smollm2=DIR, the folder of make_folder.py, got none.'
      return {'trouble': {'jax': lack}}
    runs = model.parent / f'{model.name}_runs'
    config = run.of_config('compare_smollm2_135m', model, [*sizes, *FIRST])
    first = child.run(
      [
        *(sys.executable, '-m', 'adrpo_jax.main', *config),
        f'--workdir={pathlib.Path(made) / "first"}',
      ],
      end - time.monotonic(),
    )
    script = 'benchmarks/real_model/run.py'
    command = [script, '--table', *jobs, *sizes]
    outcome = child.run(
      [sys.executable, *command, f'--model={model}', f'--out={runs}'],
      end - time.monotonic(),
    )
    result: Result = {
      'command': ' '.join(['python', *command]),
      'seconds_of_first_step': first.seconds,
      'seconds': outcome.seconds,
      'trouble': {'jax': outcome.trouble} if outcome.trouble else {},
    }
    finished = sorted(file.parent for file in runs.glob('*/*/protect.json'))
    if finished:
      run.write(runs)
      named = {str(folder.relative_to(runs)): folder for folder in finished}
      result['runs'] = {name: _facts(own) for name, own in named.items()}
    return result


def _facts(workdir: pathlib.Path) -> Result:
  """Seconds of a run, and of its median step beside the others."""
  summary = json.loads((workdir / 'summary.json').read_text())
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  steps = [
    sum(v for k, v in json.loads(line).items() if k.startswith('seconds_'))
    for line in lines
  ]
  facts = {name: summary[name] for name in ('steps', 'seconds', 'device')}
  return facts | {'seconds_a_step': round(statistics.median(steps), 3)}


def _tiny(folder: pathlib.Path) -> pathlib.Path:
  from adrpo_jax.models.tiny import qwen

  folder.mkdir()
  return qwen.write(folder)
