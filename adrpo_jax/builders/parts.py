"""Reward and optimizer of a config."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import optax

from adrpo_jax.builders.tasks.base import Normalizers
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.rewards import image_table, text_table
from adrpo_jax.rewards.normalizers import Named
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.rewards.table import Table
from adrpo_jax.rewards.text.protocol import TextPrompt, text_prompts
from adrpo_jax.rewards.user_rewards import RewardForms, user_rewards


class RewardTerms(NamedTuple):
  """The terms of the reward of a config, those of the user's own code included.

  rows:         the table that they are rows of
  weights:      name -> weight, of the terms that are trained on
  parameters:   name -> keyword arguments, of all terms
  normalize:    name -> normalizer, of terms with a weight, where not raw
  monitor_only: names of terms that are measured and not trained on
  invalid_limit: the share of invalid samples from which a run stops
  """

  rows: Table
  weights: dict[str, float]
  parameters: dict[str, dict[str, Any]]
  normalize: dict[str, Named]
  monitor_only: tuple[str, ...]
  invalid_limit: float

  def of_worlds(self) -> dict[str, str]:
    """Name of a term -> the world it judges by, of those that need one."""
    rows = {
      name: self.rows.get(own.get('row', name))
      for name, own in self.parameters.items()
    }
    return {name: row.world for name, row in rows.items() if row and row.world}


def reward_terms(config: ConfigDict, forms: RewardForms) -> RewardTerms:
  """Reads `config.reward`; `forms` are those of the samples that are judged."""
  users = user_rewards(config.python, forms)
  trained = {
    name: user
    for name, user in users.items()
    if user.weight and name not in config.monitor_only
  }
  weights = _weights(config)
  weights |= {name: user.weight for name, user in trained.items()}
  monitored = [*config.monitor_only, *(n for n in users if n not in trained)]
  normalize = config.normalize.to_dict()
  normalize |= {name: user.normalize for name, user in trained.items()}
  return RewardTerms(
    {**forms.rows, **{name: user.row for name, user in users.items()}},
    weights,
    reward_parameters(config)
    | {name: user.parameters for name, user in users.items()},
    {
      name: named
      for name, named in normalize.items()
      if named != 'raw' and name in weights
    },
    tuple(dict.fromkeys(monitored)),
    config.invalid_limit,
  )


def reward_parameters(config: ConfigDict) -> dict[str, dict[str, Any]]:
  """Name -> parameters of the terms that a config has without own code."""
  names = dict.fromkeys([*_weights(config), *config.monitor_only])
  return {name: dict(config.get(name, {})) for name in names}


def make_reward(
  terms: RewardTerms, texts: Sequence[str], normalizers: Normalizers
) -> Reward:
  """The weighted sum of the terms of a reward, for images.

  Args:
    terms: of a config, for images.
    texts: of all prompts.
    normalizers: (name -> normalizer of the config) -> those to use.
  """
  return image_table.make_reward(
    terms.weights, texts, **_arguments(terms, normalizers)
  )


def make_text_reward(
  terms: RewardTerms,
  prompts: PromptSet,
  decode: Callable[..., str],
  normalizers: Normalizers,
) -> Reward:
  """The weighted sum of the terms of a reward, for texts.

  Args:
    terms: of a config, for texts.
    prompts: all prompts, with their reference answers.
    decode: tokens -> text.
    normalizers: see `make_reward`.
  """
  return text_table.make_text_reward(
    terms.weights,
    judged_prompts(prompts),
    decode,
    **_arguments(terms, normalizers),
  )


def judged_prompts(prompts: PromptSet) -> tuple[TextPrompt, ...]:
  """Returns prompts as judges of texts get them."""
  return text_prompts(prompts.texts, prompts.answers, prompts.choices)


def _weights(config: ConfigDict) -> dict[str, float]:
  return {name: weight for name, weight in config.weights.items() if weight}


def _arguments(terms: RewardTerms, normalizers: Normalizers) -> dict[str, Any]:
  return {
    'invalid_limit': terms.invalid_limit,
    'parameters': terms.parameters,
    'normalize': normalizers(terms.normalize),
    'monitor_only': terms.monitor_only,
    'rows': terms.rows,
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
