"""Checks of a config as a whole, made before anything compiles."""

from collections.abc import Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.method.record import Method
from adrpo_jax.method.table import Table


def lookup(table: Mapping[str, Any], name: str, what: str) -> Any:
  """Returns the entry of a table that a config names."""
  if name not in table:
    raise unknown_name(name, table, what)
  return table[name]


def check_groups(method: Method, config: ConfigDict, table: Table) -> None:
  """Checks that a method has enough samples per prompt to compare.

  Pairs of a file of the user's own need none.
  """
  count = config.prompts.group_size
  own = config.method.get(config.method.name, {}).get('pairs', '')
  if {'group', 'pairs'} & method.needs and not own and count < 2:
    free = [
      name
      for name in table
      if not {'group', 'pairs'} & table.make_method(name).needs
    ]
    other = (
      f', or take {" or ".join(free)}, which compares none' if free else ''
    )
    raise InputError(
      f'Expected config.prompts.group_size to be at least 2, got {count}: the '
      f'method {config.method.name!r} compares the samples of a prompt, and '
      f'one alone teaches nothing. Raise it{other}.'
    )


def check_guidance(method: Method, config: ConfigDict) -> None:
  """Checks that a method of trajectories is guided alike in rollout and loss.

  Its ratios compare the policy of the loss with that of the rollout.
  """
  if 'trajectory' not in method.needs:
    return
  rollout = config.sampler.guidance_scale
  training = config.training.guidance_scale
  if rollout != training:
    raise InputError(
      'Expected one guidance scale in config.sampler.guidance_scale and '
      f'config.training.guidance_scale for the method {config.method.name!r}, '
      'whose ratios compare training with the rollout, got '
      f'{rollout} and {training}. Set both to the same value.'
    )


def check_batches(config: ConfigDict, mesh: jax.sharding.Mesh) -> None:
  """Checks that prompts divide over the devices and over microbatches."""
  rows = mesh.shape['data'] * mesh.shape['fsdp']
  parts = config.compute.microbatches
  for name, size in (
    ('prompts.prompts_per_step', config.prompts.prompts_per_step),
    ('eval.batch_size', config.eval.batch_size),
  ):
    if size % rows:
      raise InputError(
        f'Expected config.{name} to be a multiple of data·fsdp = {rows}, the '
        f'devices that share the batch, got {size}. Take '
        f'{rows * -(-size // rows)}, or a smaller mesh.'
      )
  count = config.prompts.prompts_per_step
  if count % (rows * parts):
    raise InputError(
      'Expected config.prompts.prompts_per_step to be a multiple of data·fsdp '
      f'· compute.microbatches = {rows * parts}, got {count}.'
    )


def check_parts(config: ConfigDict, mesh: jax.sharding.Mesh) -> None:
  """Checks that the chunks of a step divide its prompts."""
  rows = mesh.shape['data'] * mesh.shape['fsdp']
  parts = config.compute.reward_chunks
  count = config.prompts.prompts_per_step
  if count % (rows * parts):
    raise InputError(
      'Expected config.prompts.prompts_per_step to be a multiple of data·fsdp '
      f'· compute.reward_chunks = {rows * parts}, got {count}.'
    )


def profiled_steps(config: ConfigDict) -> range:
  """Returns the steps FIRST to LAST of log.profile, none for ''.

  Raises:
    InputError: the run does not come to LAST, or LAST is before FIRST.
  """
  if not config.log.profile:
    return range(0)
  first, last = map(int, config.log.profile.split(':'))
  if not first <= last < config.steps:
    raise InputError(
      'Expected config.log.profile=FIRST:LAST with FIRST ≤ LAST < config.steps '
      f'= {config.steps}, got {config.log.profile}. Steps count from 0, and '
      'the first ones compile.'
    )
  return range(first, last + 1)


def check_rewards(reward: ConfigDict) -> None:
  """Checks that something is rewarded."""
  if not any(reward.weights.values()) and not reward.python:
    raise InputError(
      'Expected a weight of config.reward.weights that is not 0, or a reward '
      'of your own in config.reward.python, got none: nothing could be '
      'learned. Set --config.reward.weights.NAME=1.'
    )


def check_decoding(config: ConfigDict) -> None:
  """Checks that the chunks of decoding divide the samples of a step."""
  chunks = config.compute.get('decode_chunks', 1)
  prompts = config.prompts.prompts_per_step // config.compute.reward_chunks
  for name, count in (
    ('a step', prompts * config.prompts.group_size),
    ('an evaluation', config.eval.batch_size * config.eval.group_size),
  ):
    if count % chunks:
      raise InputError(
        'Expected config.compute.decode_chunks to divide the samples that are '
        f'decoded together, {count} of {name}, got {chunks}.'
      )
