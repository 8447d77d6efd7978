"""The keys that make a program smaller, where one needs too much memory."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adrpo_jax.compile.chips import GIB

Report = Mapping[str, Any]
# (report) -> a flag that makes a program smaller, '' where it does not apply.
Remedy = Callable[[Report], str]


def needed_bytes(program: Mapping[str, Any]) -> int:
  """Returns the memory of a program, with the arrays that lie beside it."""
  return program['hbm_peak_bytes'] + program['beside_bytes']


def is_evaluation(name: str) -> bool:
  """Returns True for the rollout of an evaluation, of one guidance or other."""
  return name.startswith('evaluation')


def advice(report: Report) -> Iterator[str]:
  """Yields a line for each program that does not fit: what to try in order."""
  for name, program in report['programs'].items():
    peak = needed_bytes(program)
    if 'refused' not in program and peak <= report['hbm_capacity_bytes']:
      continue
    remedies = REMEDIES['evaluation' if is_evaluation(name) else name]
    flags = [flag for remedy in remedies if (flag := remedy(report))]
    yield (
      f'{name} needs {peak / GIB:.2f} GiB. Try, in this order: '
      f'{", ".join(flags)}.'
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


def _smaller_batch(report: Report) -> str:
  """Fewer held-out prompts at a time, a multiple of the devices still."""
  half, odd = divmod(report['config']['eval']['batch_size'], 2)
  rows = report['mesh']['data'] * report['mesh']['fsdp']
  return f'--config.eval.batch_size={half}' if not (odd or half % rows) else ''


def _fewer_samples(report: Report) -> str:
  """Fewer samples of a held-out prompt."""
  count = report['config']['eval']['group_size']
  return f'--config.eval.group_size={count // 2}' if count > 1 else ''


def _fewer_prompts(report: Report) -> str:
  del report
  return 'fewer prompts for each chip'


_CHUNKS = _doubled('reward_chunks')
_DECODING = _doubled('decode_chunks')
_EVALUATION = (_smaller_batch, _fewer_samples)

REMEDIES: dict[str, tuple[Remedy, ...]] = {
  'rollout': (_CHUNKS, _split, _fewer_prompts),
  'decoding': (_DECODING, _CHUNKS, _fewer_prompts),
  'reward': (_CHUNKS, _fewer_prompts),
  'update': (
    *(_doubled('microbatches'), _recomputed, _fewer_logits),
    *(_split, _adapters, _fewer_prompts),
  ),
  'evaluation': (*_EVALUATION, _split),
  'eval_decoding': (_DECODING, *_EVALUATION),
  'eval_reward': _EVALUATION,
}
