"""Config keys and values that have another name now, and the name of each.

An old name is refused with the new one; none is translated, so that a command
or a config file says what is run. The record of a run that is older than a key
means what it meant: `completed` gives it the key.
"""

from collections.abc import Callable, Mapping
from typing import Any

from adrpo_jax.errors import InputError

# Old key -> new key. A key stands for all keys below it too.
RENAMED = {
  'model.sizes': 'model.architecture',
  'model.pixels': 'model.resolution',
  'model.unroll': 'compute.scan_layers',
  'model.kept': 'compute.remat_policy',
  'model.decode_parts': 'compute.decode_chunks',
  'prompts.per_step': 'prompts.prompts_per_step',
  'prompts.samples': 'prompts.group_size',
  'prompts.held_out': 'prompts.eval_prompts',
  'prompts.longest': 'prompts.max_prompt_length',
  'sampler.longest': 'sampler.max_completion_length',
  'sampler.transition': 'sampler.solver',
  'sampler.guidance': 'sampler.guidance_scale',
  'training.draws': 'training.noise_draws',
  'training.sigma': 'training.sigma_distribution',
  'training.warmup': 'training.warmup_steps',
  'training.clip_norm': 'training.max_grad_norm',
  'training.ema': 'training.ema_decay',
  'training.chunk': 'compute.logits_chunk',
  'training.microbatches': 'compute.microbatches',
  'method.adrpo.clip_ratio': 'method.adrpo.advantage_clip',
  'method.adrpo.policy_clip_ratio': 'method.adrpo.policy_advantage_clip',
  'method.fixed_w2.clip_ratio': 'method.fixed_w2.advantage_clip',
  'method.ram.clip_ratio': 'method.ram.advantage_clip',
  'reward.normalise': 'reward.normalize',
  'reward.hold_out': 'reward.monitor_only',
  'reward.parts': 'compute.reward_chunks',
  'eval.prompts': 'eval.num_prompts',
  'eval.samples': 'eval.group_size',
  'eval.batch': 'eval.batch_size',
  'checkpoint.keep': 'checkpoint.max_to_keep',
  'pretrain.pictures': 'pretrain.images',
  'pretrain.longest': 'pretrain.max_completion_length',
  'pretrain.batch': 'pretrain.batch_size',
  'pretrain.ema': 'pretrain.ema_decay',
  'pretrain.autoencoder.batch': 'pretrain.autoencoder.batch_size',
  'pretrain.autoencoder.ema': 'pretrain.autoencoder.ema_decay',
  'pretrain.flow.batch': 'pretrain.flow.batch_size',
  'pretrain.flow.ema': 'pretrain.flow.ema_decay',
  'pretrain.distillation.batch': 'pretrain.distillation.batch_size',
  'pretrain.distillation.ema': 'pretrain.distillation.ema_decay',
  'pretrain.decoder.batch': 'pretrain.decoder.batch_size',
  'pretrain.decoder.ema': 'pretrain.decoder.ema_decay',
}

# Group of keys -> the config file that has it now.
MOVED = {'pretrain': 'configs/pretrain.py'}

# Old key -> what else changed with its name.
NOTES = {
  'model.unroll': 'Its meaning is the opposite: unroll=True is '
  'scan_layers=False.',
}

# New key -> the key that ruled what it rules, and the value that follows.
SPLIT: dict[str, tuple[str, Callable[[Any], Any]]] = {
  'training.guidance_scale': ('sampler.guidance_scale', lambda scale: scale),
  'eval.guidance_scales': ('sampler.guidance_scale', lambda scale: [scale]),
  # All sequences were sampled at once.
  'sampler.max_num_seqs': ('sampler.temperature', lambda temperature: 0),
  # The base was the reference of the whole run.
  'training.reference_sync_steps': ('training.extrapolation', lambda _: 0),
}

# Last word of a key -> old value -> new value.
RENAMED_VALUES = {
  'family': {'qwen': 'decoder'},
  'remat_policy': {'all': 'everything', 'products': 'dots'},
  'zero_variance': {'pull': 'keep', 'mask': 'drop'},
  'advantage': {'centred': 'centered'},
}


def current(key: str) -> str:
  """Returns the name that a key has now, which for most is the same.

  >>> current('reward.normalise.shapes')
  'reward.normalize.shapes'
  """
  for old, new in RENAMED.items():
    if key == old or key.startswith(f'{old}.'):
      return new + key.removeprefix(old)
  return key


def renamed(key: str) -> str | None:
  """Returns a sentence with the new name of an old key, else None.

  >>> renamed('prompts.samples')
  'config.prompts.samples was renamed: use config.prompts.group_size.'
  """
  if current(key) == key:
    return None
  sentence = f'config.{key} was renamed: use config.{current(key)}.'
  return ' '.join([sentence, *([NOTES[key]] if key in NOTES else [])])


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the config of a record with the keys that it is older than.

  >>> old = {'sampler': {'guidance_scale': 2.0}, 'training': {}, 'eval': {}}
  >>> completed(old)['training']
  {'guidance_scale': 2.0}
  """
  whole = dict(config)
  for new, (old, value) in SPLIT.items():
    (group, name), (before, ruling) = new.split('.'), old.split('.')
    own, former = (whole.get(part) for part in (group, before))
    if not (isinstance(own, Mapping) and isinstance(former, Mapping)):
      continue
    if name not in own and ruling in former:
      whole[group] = {**own, name: value(former[ruling])}
  return whole


def moved(key: str, config: Mapping[str, Any]) -> str | None:
  """Returns a sentence with the file of a key whose group `config` lacks."""
  group = key.partition('.')[0]
  file = None if group in config else MOVED.get(group)
  return f'config.{key} has moved: use --config={file}.' if file else None


def check_names(config: Mapping[str, Any]) -> None:
  """Checks that a config, flattened to dotted keys, holds no old name.

  Raises:
    InputError: an old key or an old value, with the new one.
  """
  for key, value in config.items():
    if sentence := renamed(key):
      raise InputError(sentence)
    values = RENAMED_VALUES.get(key.rpartition('.')[2], {})
    if isinstance(value, str) and value in values:
      raise InputError(
        f'The value {value!r} of config.{key} was renamed: use '
        f'{values[value]!r}.'
      )
