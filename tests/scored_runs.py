"""Made-up runs under a reward that is a score, without a measure of success."""

import json

import numpy as np
import synthetic_runs

from adrpo_jax.samples import image_file

SCALE = 30  # of the scores, in units of CLIPScore


def write_run(workdir, **options):
  """The run of `synthetic_runs`, as a reward of 16 to 30 would leave it."""
  synthetic_runs.write_run(workdir, ceiling=None, **options)
  path = workdir / 'evaluations.jsonl'
  lines = map(json.loads, path.read_text().splitlines())
  synthetic_runs.write_jsonl(path, map(scored, lines))
  path = workdir / 'metrics.jsonl'
  lines = map(json.loads, path.read_text().splitlines())
  synthetic_runs.write_jsonl(path, map(scored, lines))
  path = workdir / 'summary.json'
  if path.exists():
    summary = json.loads(path.read_text())
    summary |= {name: scored(summary[name]) for name in ('base', 'final')}
    summary.pop('predicted_ceiling', None)
    path.write_text(json.dumps(summary))
  for path in (workdir / 'samples').iterdir():
    arrays = image_file.read_arrays(path)
    del arrays['success']
    arrays['rewards'] = SCALE * arrays['rewards']
    arrays['verdicts'] = np.full(arrays['verdicts'].shape, '')
    image_file.write_arrays(path, arrays)


def scored(record):
  """A record in the units of the score, without the numbers of a judge."""
  judged = ('success', 'success_se', 'fidelity', 'fidelity_se', 'unreadable')
  record = {k: v for k, v in record.items() if k not in judged}
  for name in {'reward', 'reward_se'} & record.keys():
    record[name] *= SCALE
  if 'by_category' in record:
    by_category = record['by_category'].items()
    record['by_category'] = {
      k: SCALE * (0.55 + 0.45 * v) for k, v in by_category
    }
  return record
