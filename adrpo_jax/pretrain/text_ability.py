"""Measures the ability of a language model by the judge of a world."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from adrpo_jax.modalities.language import LanguageModel, PromptFeatures
from adrpo_jax.models.decoder import chat_tokenizer
from adrpo_jax.sampling.decoding import generate
from adrpo_jax.sampling.token_distribution import TokenDistribution
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import TextWorld


def ability(
  world: TextWorld,
  model: LanguageModel,
  params: PyTree,
  tokenizer: Any,
  *,
  samples: int,
  max_length: int,
  seed: int,
) -> dict[str, Any]:
  """Returns the scores of answers that are sampled at temperature 1.

  It samples one answer to each of `samples` held-out prompts, all at once. No
  prompt is used twice if there are enough. An answer that has not ended within
  `max_length` tokens is judged as it is.

  Returns:
    'samples', the mean of each fact, and its standard error as NAME_se.
    'by_category' holds the same for each category.
  """
  listed = world.prompts('held_out')
  rows = np.random.default_rng(seed).choice(
    len(listed), samples, replace=samples > len(listed)
  )
  texts = [listed[row][0] for row in rows]
  scores = [
    world.judge(text, answer)
    for text, answer in zip(
      texts,
      answers(
        model,
        params,
        texts,
        tokenizer,
        max_length=max_length,
        seed=seed,
      ),
      strict=True,
    )
  ]
  return summary(scores, [listed[row][1] for row in rows])


def summary(
  scores: Sequence[Mapping[str, float]], categories: Sequence[str]
) -> dict[str, Any]:
  """Returns the means of scores, over all and by category; see `ability`."""
  of = np.array(categories)
  return _summary(scores) | {
    'by_category': {
      category: _summary(
        [scores[i] for i in np.flatnonzero(of == category).tolist()]
      )
      for category in sorted(set(categories))
    }
  }


def answers(
  model: LanguageModel,
  params: PyTree,
  texts: Sequence[str],
  tokenizer: Any,
  *,
  max_length: int,
  seed: int,
) -> list[str]:
  """Samples an answer to each prompt at temperature 1, without end token."""
  length = max(len(row) for row in tokenizer(list(texts))['input_ids'])
  return sampled(
    model,
    params,
    padded_prompts(texts, tokenizer, length),
    tokenizer,
    max_length=max_length,
    seed=seed,
  )


def sampled(
  model: LanguageModel,
  params: PyTree,
  prompts: tuple[np.ndarray, np.ndarray],
  tokenizer: Any,
  *,
  max_length: int,
  seed: int,
  features: PromptFeatures | None = None,
) -> list[str]:
  """Samples an answer to each row of (tokens, mask) [N, L], see `answers`.

  Features stand in place of words of the prompts.
  """
  end = tokenizer.eos_token_id

  @jax.jit
  def sample(params: PyTree, features, tokens, mask, keys: Array):
    return generate(
      model.decode_fns(params, features),
      tokens,
      mask,
      keys,
      max_length=max_length,
      stops=(end,),
      pad=tokenizer.pad_token_id,
      distribution=TokenDistribution(),
    )

  keys = jax.random.split(jax.random.key(seed), (len(prompts[0]), 1))
  result = jax.device_get(sample(params, features, *prompts, keys))
  mask = result.mask & (result.tokens != end)
  return [
    tokenizer.decode(row[real])
    for row, real in zip(result.tokens, mask, strict=True)
  ]


def padded_prompts(
  texts: Sequence[str], tokenizer: Any, length: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns (tokens, mask) of prompts, padded on the left. [N, length]"""
  ids = tokenizer(list(texts))['input_ids']
  rows = chat_tokenizer.left_padded(ids, length, tokenizer.pad_token_id)
  return rows['tokens'], rows['mask']


def _summary(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
  """Returns means and standard errors of facts, rounded to five places."""
  summary: dict[str, float] = {'samples': len(scores)}
  for name in scores[0]:
    values = np.array([facts[name] for facts in scores], float)
    error = (
      values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    )
    summary |= {
      name: round(float(values.mean()), 5),
      f'{name}_se': round(float(error), 5),
    }
  return summary
