"""Method, reward and optimiser of a config."""

from collections.abc import Sequence

from ml_collections import ConfigDict
import optax

from adrpo_jax.build.checks import named
from adrpo_jax.errors import InputError
from adrpo_jax.method import methods
from adrpo_jax.method.record import Method
from adrpo_jax.rewards import table as reward_table
from adrpo_jax.rewards.protocol import Reward


def make_method(config: ConfigDict) -> Method:
  """The row of the table a config names, with its parameters."""
  name = config.name
  named(methods.METHODS, name, 'method')
  given = {key: config[name][key] for key in methods.parameters(name)}
  try:
    return methods.make_method(name, **given)
  except ValueError as error:
    raise InputError(str(error)) from error


def make_reward(config: ConfigDict, texts: Sequence[str]) -> Reward:
  """The weighted sum of rewards that a config names, and those held out."""
  terms = [*config.weights, *config.hold_out]
  return reward_table.make_reward(
    dict(config.weights),
    texts,
    config.invalid_limit,
    parameters={name: dict(config.get(name, {})) for name in terms},
    normalise=config.normalise.to_dict(),
    hold_out=config.hold_out,
  )


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
  """Clipped AdamW with a linear warm-up."""
  schedule = optax.linear_schedule(
    config.learning_rate / (config.warmup + 1),
    config.learning_rate,
    config.warmup,
  )
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.adamw(schedule, b2=0.99, weight_decay=config.weight_decay),
  )
