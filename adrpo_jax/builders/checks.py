"""Checks of a config as a whole, made before anything compiles."""

from collections.abc import Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.method import guards
from adrpo_jax.method.record import Method


def lookup(table: Mapping[str, Any], name: str, what: str) -> Any:
  """Returns the entry of a table that a config names."""
  if name not in table:
    raise unknown_name(name, table, what)
  return table[name]


def check_groups(method: Method, groups: tuple[int, int]) -> None:
  """Checks that a method has enough samples per prompt to compare."""
  try:
    guards.check_group_size(method.needs, groups[1])
  except ValueError as error:
    raise InputError(f'{error} It is --config.prompts.group_size.') from error


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
  if parts < 1 or count % (rows * parts):
    raise InputError(
      'Expected config.prompts.prompts_per_step to be a multiple of data·fsdp '
      '· compute.reward_chunks, and at least one chunk, got '
      f'{count}, {rows} and {parts}.'
    )


def check_averaging(training: ConfigDict) -> None:
  """Checks the decay of averaged weights and their extrapolation."""
  if not 0 <= training.ema_decay < 1:
    raise InputError(
      'Expected config.training.ema_decay, the decay of averaged weights, to '
      f'be 0 for none or between 0 and 1, got {training.ema_decay}.'
    )
  if not training.extrapolation > 0:
    raise InputError(
      'Expected config.training.extrapolation above 0, where 1 is none, got '
      f'{training.extrapolation}.'
    )
