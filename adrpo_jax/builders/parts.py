"""Method, reward and optimizer of a config."""

from collections.abc import Callable, Sequence
from typing import Any

from ml_collections import ConfigDict
import optax

from adrpo_jax.builders.checks import named
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.method.record import Method
from adrpo_jax.method.table import Table
from adrpo_jax.rewards import image_table, text_table
from adrpo_jax.rewards.protocol import Reward


def make_method(config: ConfigDict, table: Table) -> Method:
  """The row of the table a config names, with its parameters."""
  name = config.name
  named(table.rows, name, 'method')
  given = {key: config[name][key] for key in table.parameters(name)}
  try:
    return table.make_method(name, **given)
  except ValueError as error:
    raise InputError(str(error)) from error


def make_reward(config: ConfigDict, texts: Sequence[str]) -> Reward:
  """The weighted sum of rewards that a config names, and those held out."""
  return image_table.make_reward(_weights(config), texts, **_terms(config))


def make_text_reward(
  config: ConfigDict, prompts: PromptSet, decode: Callable[..., str]
) -> Reward:
  """The same of answers; `decode` makes texts of tokens."""
  return text_table.make_text_reward(
    _weights(config),
    prompts.texts,
    prompts.answers,
    decode,
    **_terms(config),
  )


def _weights(config: ConfigDict) -> dict[str, float]:
  return {name: weight for name, weight in config.weights.items() if weight}


def _terms(config: ConfigDict) -> dict[str, Any]:
  normalize = config.normalize.to_dict()
  return {
    'invalid_limit': config.invalid_limit,
    'parameters': reward_parameters(config),
    'normalize': {k: n for k, n in normalize.items() if n != 'raw'},
    'monitor_only': config.monitor_only,
  }


def reward_parameters(config: ConfigDict) -> dict[str, dict[str, Any]]:
  """Term -> its parameters, for those with a weight and those held out."""
  return {
    name: dict(config.get(name, {}))
    for name in dict.fromkeys([*_weights(config), *config.monitor_only])
  }


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
  """Clipped AdamW with a linear warm-up."""
  schedule = optax.linear_schedule(
    config.learning_rate / (config.warmup_steps + 1),
    config.learning_rate,
    config.warmup_steps,
  )
  return optax.chain(
    optax.clip_by_global_norm(config.max_grad_norm),
    optax.adamw(schedule, b2=0.99, weight_decay=config.weight_decay),
  )
