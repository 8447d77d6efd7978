"""summary.json: the figures of a finished run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adrpo_jax.stats.measures import guided_keys
from adrpo_jax.stats.utilization import STAGES

SHOWN = ('reward', 'success', 'fidelity', 'diversity', 'divergence')
CONTROLS = ('silent_audio',)


def make_summary(
  lines: Sequence[Mapping[str, Any]],
  base: Mapping[str, Any],
  final: Mapping[str, Any],
  *,
  samples_per_step: int,
  **about: Any,
) -> dict[str, Any]:
  """Makes the content of summary.json.

  Args:
    lines: metrics.jsonl, one record for each step.
    base: figures of the evaluation before training.
    final: figures of the evaluation after it.
    samples_per_step: P·G.
    **about: what the run is: method, title, seed, steps, device.
  """
  spent = [
    sum(line.get(f'seconds_{stage}', 0.0) for stage in STAGES) for line in lines
  ]
  return {
    **about,
    'seconds': round(sum(spent), 1),
    'base': base,
    'final': final,
    'beta': {
      'mean': float(np.mean([line['beta_mean'] for line in lines])),
      'min': min(line['beta_min'] for line in lines),
      'max': max(line['beta_max'] for line in lines),
      'fraction_negative': float(
        np.mean([line['beta_negative'] for line in lines])
      ),
    },
    'throughput': {
      'samples_per_second': samples_per_step * len(lines) / sum(spent)
    },
  }


def predicted_ceiling(beta0: float, base: Mapping[str, Any]) -> float:
  """p₀ + (d/β₀)·p₀(1−p₀), the success of guarded ADRPO of a flow at its end.

  The law holds for a policy of two modes, right and wrong samples.

  d is the reward gap between right and wrong samples of the base: its mean
  reward is p₀·1 + (1 − p₀)·(1 − d).
  """
  p = base['success']
  gap = (1 - base['reward']) / max(1 - p, 1e-9)
  return float(min(1.0, p + gap / beta0 * p * (1 - p)))


def as_text(summary: Mapping[str, Any]) -> str:
  """Returns the main figures before and after, one in a line."""
  base, final = summary['base'], summary['final']
  errors = [key for key in final if key.endswith('_se')]
  guided = [
    error.removesuffix('_se')
    for name in SHOWN
    for error in guided_keys(errors, name)
  ]
  further = [name for name in (*CONTROLS, *guided) if name in final]
  width = max(map(len, (*SHOWN, *further)))
  return '\n'.join(
    f'{name:>{width}}  {base[name]:.3f} → {final[name]:.3f}  '
    f'(± {final[f"{name}_se"]:.3f})'
    for name in (*SHOWN, *further)
    if name in final
  )
