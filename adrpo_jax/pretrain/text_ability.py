"""How able a language model is: its answers, held against a world's judge."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from adrpo_jax.modalities.language import LanguageModel
from adrpo_jax.models.decoder import chat_tokenizer
from adrpo_jax.sampling.decoding import generate
from adrpo_jax.sampling.token_choice import Choice
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import TextWorld


def ability(
  world: TextWorld,
  model: LanguageModel,
  params: PyTree,
  tokenizer: Any,
  *,
  samples: int,
  longest: int,
  seed: int,
) -> dict[str, Any]:
  """What the world's judge says of answers at temperature 1.

  One answer to each of `samples` held-out prompts, none twice where there are
  as many; all are sampled at once. An answer that has not ended within
  `longest` tokens is judged as it stands.

  Returns:
    'samples', the mean of each fact and, as NAME_se, its standard error;
    'by_category', the same for each.
  """
  listed = world.prompts('held_out')
  rows = np.random.default_rng(seed).choice(
    len(listed), samples, replace=samples > len(listed)
  )
  texts = [listed[row][0] for row in rows]
  said = [
    world.judge(text, answer)
    for text, answer in zip(
      texts,
      answers(model, params, texts, tokenizer, longest=longest, seed=seed),
      strict=True,
    )
  ]
  of = np.array([listed[row][1] for row in rows])
  return _summary(said) | {
    'by_category': {
      category: _summary([said[i] for i in np.flatnonzero(of == category)])
      for category in sorted(set(of.tolist()))
    }
  }


def answers(
  model: LanguageModel,
  params: PyTree,
  texts: Sequence[str],
  tokenizer: Any,
  *,
  longest: int,
  seed: int,
) -> list[str]:
  """An answer to each prompt, sampled at temperature 1, without its end."""
  length = max(len(row) for row in tokenizer(list(texts))['input_ids'])
  end = tokenizer.eos_token_id

  @jax.jit
  def drawn(params: PyTree, tokens: Array, mask: Array, keys: Array):
    return generate(
      model.decode_fns(params),
      tokens,
      mask,
      keys,
      longest=longest,
      stops=(end,),
      pad=tokenizer.pad_token_id,
      choice=Choice(),
    )

  keys = jax.random.split(jax.random.key(seed), (len(texts), 1))
  found = jax.device_get(
    drawn(params, *padded_prompts(texts, tokenizer, length), keys)
  )
  kept = found.mask & (found.tokens != end)
  return [
    tokenizer.decode(row[real])
    for row, real in zip(found.tokens, kept, strict=True)
  ]


def padded_prompts(
  texts: Sequence[str], tokenizer: Any, length: int
) -> tuple[np.ndarray, np.ndarray]:
  """(tokens, mask) of prompts, [N, length]."""
  read = tokenizer(list(texts))['input_ids']
  rows = chat_tokenizer.left_padded(read, length, tokenizer.pad_token_id)
  return rows['tokens'], rows['mask']


def _summary(said: Sequence[Mapping[str, float]]) -> dict[str, float]:
  """Means and standard errors of facts, rounded to five places."""
  found: dict[str, float] = {'samples': len(said)}
  for name in said[0]:
    values = np.array([facts[name] for facts in said], float)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(said) > 1 else 0.0
    found |= {
      name: round(float(values.mean()), 5),
      f'{name}_se': round(float(error), 5),
    }
  return found
