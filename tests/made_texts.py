"""Workdirs of made-up runs of a language model whose numbers are given."""

import json

import synthetic_runs


def write_run(
  workdir,
  *,
  steps=(),
  evaluations=(),
  final=(),
  world='sort',
  modality='language',
):
  """A finished run of lines as they are given; `final` says what is evaluated.

  steps, evaluations: a dict each, without their steps, from 0 and from 10.
  """
  workdir.mkdir(parents=True, exist_ok=True)
  settings = {'method': {'name': workdir.parent.name}, 'world': world}
  config = {'config': settings, 'modality': modality}
  (workdir / 'config.json').write_text(json.dumps(config))
  synthetic_runs.write_jsonl(
    workdir / 'metrics.jsonl',
    [{'step': i} | line for i, line in enumerate(steps)],
  )
  synthetic_runs.write_jsonl(
    workdir / 'evaluations.jsonl',
    [{'step': 10 * i} | line for i, line in enumerate(evaluations, 1)],
  )
  base = {'success': 0.2, 'reward': 0.2, 'entropy': 2.0, 'divergence': 0.0}
  summary = {'base': base, 'final': base | dict(final), 'steps': len(steps)}
  (workdir / 'summary.json').write_text(json.dumps(summary))


def steps(*, reward, entropy=None, far=0.001, count=41, drawn=True):
  """Lines of steps that go from 0 evenly: by so much of each a step.

  Running means of even steps lie on the same line, so that the reward at a
  divergence d is d · reward / far whatever they are smoothed by.
  """
  lines = [
    {'divergence': far * i, 'reward': reward * i, 'diversity_distinct': 0.9}
    for i in range(count)
  ]
  for i, line in enumerate(lines):
    if entropy is not None:
      line['entropy'] = 2.0 + entropy * i
    if not drawn:
      del line['diversity_distinct']
  return lines
