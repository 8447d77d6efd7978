"""The keys that make a program smaller, where one needs too much memory."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adrpo_jax.compile.chips import GIB

Report = Mapping[str, Any]
# (report) -> a flag that makes a program smaller, '' where it does not apply.
Remedy = Callable[[Report], str]


def advice(report: Report) -> Iterator[str]:
  """Yields a line for each program that does not fit: what to try in order."""
  for name, program in report['programs'].items():
    peak = program['hbm_peak_bytes']
    if 'refused' not in program and peak <= report['hbm_capacity_bytes']:
      continue
    flags = [flag for remedy in REMEDIES[name] if (flag := remedy(report))]
    yield (
      f'{name} needs {peak / GIB:.2f} GiB. Try, in this order: '
      f'{", ".join([*flags, "fewer prompts for each chip"])}.'
    )


def _doubled(key: str) -> Remedy:
  """More parts, one after another."""

  def remedy(report: Report) -> str:
    value = report['config']['compute'].get(key)
    return f'--config.compute.{key}={2 * value}' if value else ''

  return remedy


def _fewer_logits(report: Report) -> str:
  """Logits of a vocabulary are the largest array of a language model."""
  value = report['config']['compute'].get('logits_chunk', 0)
  return f'--config.compute.logits_chunk={value // 2}' if value > 1 else ''


def _recomputed(report: Report) -> str:
  """Activations that are computed again are not stored."""
  if report['config']['compute']['remat_policy'] == 'nothing':
    return ''
  return '--config.compute.remat_policy=nothing'


def _adapters(report: Report) -> str:
  """Adapters need no second copy of the model, and small optimizer states."""
  if report['config']['model']['lora_rank']:
    return ''
  return '--config.model.lora_rank=32'


def _split(report: Report) -> str:
  """Weights that are split over more chips."""
  fsdp = 2 * report['mesh']['fsdp']
  return f'--config.mesh.fsdp={fsdp}' if fsdp <= report['devices'] else ''


REMEDIES: dict[str, tuple[Remedy, ...]] = {
  'rollout': (_doubled('reward_chunks'), _split),
  'reward': (_doubled('decode_chunks'), _doubled('reward_chunks')),
  'update': (
    *(_doubled('microbatches'), _recomputed, _fewer_logits),
    *(_split, _adapters),
  ),
}
