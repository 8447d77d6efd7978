"""Pre-trains the bases of the text worlds: a small decoder, from scratch.

  L = −Σ_t log p(a_t | prompt, a_<t) / Σ_t 1

over the tokens a of an answer and its end token. The tokens of the prompt have
no loss. Each step samples new pairs of prompt and answer, which depend only on
the step, so an interrupted run continues with the same results. The result is a
folder in the layout of Hugging Face:

  config.json, model.safetensors   a Qwen3, for `AutoModelForCausalLM`
  tokenizer.json, ...              of the world, for `AutoTokenizer`
  generation_config.json
  pretraining.json                 settings, loss, measured ability
"""

from collections.abc import Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.modalities.decoder_model import language_model
from adrpo_jax.modalities.language import LanguageModel, PromptFeatures
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder, DecoderConfig
from adrpo_jax.models.decoder.log_probs import logits, softmax_log_probs
from adrpo_jax.pretrain.base_files import (
  end_fields,
  make_tokenizer,
  write_records,
)
from adrpo_jax.pretrain.stage import StageConfig, train_stage
from adrpo_jax.pretrain.text_ability import ability, padded_prompts
from adrpo_jax.system.records import read_lines
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import TEXT_WORLDS, TextWorld, sort_tokenizer

# A base that two CPU cores can train: 0.16M parameters.
SMALL_DECODER = DecoderConfig(
  vocab_size=len(sort_tokenizer.VOCABULARY),
  hidden_size=64,
  intermediate_size=192,
  num_hidden_layers=3,
  num_attention_heads=4,
  num_key_value_heads=4,
  head_dim=16,
  rms_norm_eps=1e-6,
  rope_theta=1e4,
  tie_word_embeddings=True,
  attention_bias=False,
  qk_norm=True,
)
MAX_LENGTH = 18  # tokens: eight digits, one of them twice, and the end token
_SEEDS = 2**62  # number of seeds for the pairs of a step


def run(
  workdir: pathlib.Path,
  *,
  world: str,
  steps: int,
  batch_size: int,
  learning_rate: float,
  ema_decay: float,
  save_every: int,
  samples: int,
  seed: int,
  max_completion_length: int = MAX_LENGTH,
  sizes: DecoderConfig = SMALL_DECODER,
  versions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
  """Trains a base, writes it to workdir/base, and returns pretraining.json.

  Args:
    workdir: folder for the state; the same call continues from it.
    world: a name in TEXT_WORLDS.
    steps: steps of AdamW with warm-up and cosine decay, see `make_stage`.
    batch_size: pairs per step.
    learning_rate: the peak learning rate.
    ema_decay: decay of the averaged parameters, which are the ones it writes.
    save_every: steps between two saves of the state.
    samples: number of answers that measure the ability.
    seed: seed of the initial parameters, the pairs and the measurement.
    max_completion_length: T, the largest number of tokens of an answer, end
      token included.
    sizes: the decoder; its vocabulary must be that of the world's tokenizer.
    versions: versions of packages, for pretraining.json.

  Raises:
    InputError: the world is unknown, the vocabulary differs from the
      tokenizer's, or an answer is longer than `max_completion_length`.
  """
  if world not in TEXT_WORLDS:
    raise unknown_name(world, TEXT_WORLDS, 'world')
  task, folder = TEXT_WORLDS[world], workdir / 'base'
  tokenizer = make_tokenizer(task.tokenizer, folder, world, sizes.vocab_size)
  module = Decoder(sizes)
  model = language_model(module)
  room = prompt_length(task, tokenizer)
  max_length = max_completion_length
  stage = StageConfig(steps, batch_size, learning_rate, ema_decay, save_every)
  params = train_stage(
    'answers',
    stage,
    lambda params, rows, key: answer_loss(model, params, rows, max_length),
    initialized(module, jax.random.key(seed)),
    lambda numbers: encoded(
      task.pairs(len(numbers), int(numbers[0])), tokenizer, room, max_length
    ),
    _SEEDS,
    workdir,
    seed=seed,
  )
  record = {
    'world': world,
    **dataclasses.asdict(stage),
    'seed': seed,
    'max_completion_length': max_length,
    'parameters': sum(leaf.size for leaf in jax.tree.leaves(params)),
    'loss': read_lines(workdir / 'answers.jsonl')[-1]['loss'],
    'ability': ability(
      task,
      model,
      params,
      tokenizer,
      samples=samples,
      max_length=max_length,
      seed=seed,
    ),
    'versions': dict(versions or {}),
  }
  write(folder, sizes, params, tokenizer, record)
  return record


def initialized(module: Decoder, key: Array) -> PyTree:
  """Returns random parameters of a decoder, {'params': ...}."""
  return jax.jit(lambda key: decoder_folder.init_params(module, key))(key)


def prompt_length(world: TextWorld, tokenizer: Any) -> int:
  """Returns the tokens of the longest prompt of a world, in both splits."""
  texts = [t for s in ('train', 'held_out') for t, _ in world.prompts(s)]
  return max(len(row) for row in tokenizer(texts)['input_ids'])


def encoded(
  pairs: Sequence[tuple[str, str]],
  tokenizer: Any,
  room: int,
  max_length: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns (tokens, mask) [B, room + max_length], laid out like a rollout.

  A prompt is padded on the left to `room`. An answer with its end token is
  padded on the right to `max_length`.

  Raises:
    InputError: an answer is longer.
  """
  texts, answers = zip(*pairs, strict=True)
  rows = padded_prompts(texts, tokenizer, room)
  return answered(rows, answers, tokenizer, max_length)


def answered(
  prompts: tuple[np.ndarray, np.ndarray],
  answers: Sequence[str],
  tokenizer: Any,
  max_length: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns (tokens, mask) [B, L + max_length] of prompts with their answers.

  Args:
    prompts: (tokens, mask) [B, L].
    answers: their texts, which an end token follows.
    tokenizer: of both.
    max_length: the positions of an answer, padded on the right.

  Raises:
    InputError: an answer is longer.
  """
  tokens = np.full((len(answers), max_length), tokenizer.pad_token_id, np.int32)
  real = np.zeros(tokens.shape, bool)
  for row, ids in enumerate(tokenizer(list(answers))['input_ids']):
    ids = [*ids, tokenizer.eos_token_id]
    if len(ids) > max_length:
      raise InputError(
        f'Expected max_length of at least {len(ids)}, the tokens of the answer '
        f'{answers[row]!r} and its end token, got max_length={max_length}.'
      )
    tokens[row, : len(ids)] = ids
    real[row, : len(ids)] = True
  return (
    np.concatenate([prompts[0], tokens], 1),
    np.concatenate([prompts[1], real], 1),
  )


def answer_loss(
  model: LanguageModel,
  params: PyTree,
  rows: tuple[Array, Array],
  max_length: int,
  features: PromptFeatures | None = None,
) -> Array:
  """The mean cross-entropy, in nats, of the answers' tokens without padding.

  The answers are the last `max_length` tokens of rows, see `encoded`. Features
  stand in place of words of the prompts.
  """
  tokens, mask = rows
  states = model.states(params, tokens, mask, features)
  states = states[:, -max_length - 1 : -1]  # before a token: it predicts it
  result = softmax_log_probs(
    logits(states, model.embedding(params)), tokens[:, -max_length:]
  )
  real = mask[:, -max_length:]
  return -jnp.sum(result.log_probs * real) / jnp.sum(real)


def write(
  folder: pathlib.Path,
  sizes: DecoderConfig,
  params: PyTree,
  tokenizer: Any,
  record: Mapping[str, Any],
) -> None:
  """Writes a base beside its tokenizer. `record` describes its training."""
  fields = decoder_folder.config_fields(sizes) | {'bos_token_id': None}
  decoder_folder.save(folder, fields | end_fields(tokenizer), params)
  write_records(folder, tokenizer, record)
