"""Pre-training of the bases of the text worlds: a small decoder, from nothing.

  L = −Σ_t log p(a_t | prompt, a_<t) / Σ_t 1

over the tokens a of an answer and the end token behind it; what a prompt says
is not learned. Pairs of prompt and answer are drawn anew at each step, as a
function of the step alone, so that a killed run goes on as if nothing had
happened. What comes out is a folder in Hugging Face's layout:

  config.json, model.safetensors   a Qwen3, for `AutoModelForCausalLM`
  tokenizer.json, ...              of the world, for `AutoTokenizer`
  generation_config.json
  pretraining.json                 settings, loss, measured ability
"""

from collections.abc import Mapping, Sequence
import dataclasses
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.modalities.decoder_model import language_model
from adrpo_jax.modalities.language import LanguageModel
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder, DecoderConfig
from adrpo_jax.models.decoder.log_probs import logits, softmax_log_probs
from adrpo_jax.models.files.tokenizers import load_tokenizer
from adrpo_jax.pretrain.shapes import Stage, train_stage
from adrpo_jax.pretrain.text_ability import ability, padded_prompts
from adrpo_jax.system.files import replacing
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import TEXT_WORLDS, TextWorld, sort_tokenizer

# The base that two cores can train: 0.16M parameters.
SMALL = DecoderConfig(
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
LONGEST = 18  # tokens: eight digits, one of them twice, and the end
_SEEDS = 2**62  # pairs are drawn from one of so many seeds


def run(
  workdir: pathlib.Path,
  *,
  world: str,
  steps: int,
  batch: int,
  learning_rate: float,
  ema: float,
  save_every: int,
  samples: int,
  seed: int,
  longest: int = LONGEST,
  sizes: DecoderConfig = SMALL,
  versions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
  """Trains a base, writes it to workdir/base, and returns pretraining.json.

  Args:
    workdir: keeps the state as it goes; the same call again goes on from it.
    world: a name in TEXT_WORLDS.
    steps: of AdamW, with warm-up and cosine decay; see `pretrain.make_stage`.
    batch: pairs of a step.
    learning_rate: the highest.
    ema: decay of the average of the parameters, which is what is written.
    save_every: steps between two saves of the state.
    samples: answers by which the ability is measured.
    seed: of the first parameters, the pairs and the measurement.
    longest: T, tokens of an answer at most, the end token included.
    sizes: of the decoder; its vocabulary is that of the world's tokenizer.
    versions: of what it is made with, for the record.

  Raises:
    InputError: no such world, a vocabulary that is not the tokenizer's, or an
      answer that is longer than `longest`.
  """
  if world not in TEXT_WORLDS:
    raise unknown_name(world, TEXT_WORLDS, 'world')
  task, folder = TEXT_WORLDS[world], workdir / 'base'
  task.tokenizer(folder)
  tokenizer = load_tokenizer(folder)
  if len(tokenizer) != sizes.vocab_size:
    raise InputError(
      f'Expected vocab_size {len(tokenizer)}, that of the tokenizer of the '
      f'world {world}, got {sizes.vocab_size}.'
    )
  module = Decoder(sizes)
  model = language_model(module)
  room = prompt_length(task, tokenizer)
  stage = Stage(steps, batch, learning_rate, ema, save_every)
  params = train_stage(
    'answers',
    stage,
    lambda params, rows, key: answer_loss(model, params, rows, longest),
    initialized(module, jax.random.key(seed)),
    lambda numbers: encoded(
      task.pairs(len(numbers), int(numbers[0])), tokenizer, room, longest
    ),
    _SEEDS,
    workdir,
    seed=seed,
  )
  record = {
    'world': world,
    **dataclasses.asdict(stage),
    'seed': seed,
    'longest': longest,
    'parameters': sum(leaf.size for leaf in jax.tree.leaves(params)),
    'loss': _last_loss(workdir / 'answers.jsonl'),
    'ability': ability(
      task,
      model,
      params,
      tokenizer,
      samples=samples,
      longest=longest,
      seed=seed,
    ),
    'versions': dict(versions or {}),
  }
  write(folder, sizes, params, tokenizer, record)
  return record


def initialized(module: Decoder, key: Array) -> PyTree:
  """Random parameters of a decoder, {'params': ...}."""
  return jax.jit(lambda key: decoder_folder.init_params(module, key))(key)


def prompt_length(world: TextWorld, tokenizer: Any) -> int:
  """Tokens of the longest prompt of a world, both splits."""
  texts = [t for s in ('train', 'held_out') for t, _ in world.prompts(s)]
  return max(len(row) for row in tokenizer(texts)['input_ids'])


def encoded(
  pairs: Sequence[tuple[str, str]], tokenizer: Any, room: int, longest: int
) -> tuple[np.ndarray, np.ndarray]:
  """(tokens, mask), [B, room + longest]: as a rollout leaves its rows.

  A prompt is padded on the left to `room`, an answer with its end token on the
  right to `longest`.

  Raises:
    InputError: an answer needs more.
  """
  prompts, mask = padded_prompts([text for text, _ in pairs], tokenizer, room)
  tokens = np.full((len(pairs), longest), tokenizer.pad_token_id, np.int32)
  real = np.zeros(tokens.shape, bool)
  answers = tokenizer([answer for _, answer in pairs])['input_ids']
  for row, ids in enumerate(answers):
    ids = [*ids, tokenizer.eos_token_id]
    if len(ids) > longest:
      raise InputError(
        f'Expected room for {len(ids)} tokens of the answer '
        f'{pairs[row][1]!r} and its end, got longest={longest}.'
      )
    tokens[row, : len(ids)] = ids
    real[row, : len(ids)] = True
  return (
    np.concatenate([prompts, tokens], 1),
    np.concatenate([mask, real], 1),
  )


def answer_loss(
  model: LanguageModel,
  params: PyTree,
  rows: tuple[Array, Array],
  longest: int,
) -> Array:
  """Mean cross-entropy, in nats, of the last `longest` tokens that are real.

  rows: see `encoded`.
  """
  tokens, mask = rows
  # The state before a token is that from which it is drawn.
  states = model.states(params, tokens, mask)[:, -longest - 1 : -1]
  said = softmax_log_probs(
    logits(states, model.embedding(params)), tokens[:, -longest:]
  )
  counted = mask[:, -longest:]
  return -jnp.sum(said.log_probs * counted) / jnp.sum(counted)


def write(
  folder: pathlib.Path,
  sizes: DecoderConfig,
  params: PyTree,
  tokenizer: Any,
  record: Mapping[str, Any],
) -> None:
  """Puts a base beside its tokenizer; `record` says what made it."""
  ends = {
    'eos_token_id': tokenizer.eos_token_id,
    'pad_token_id': tokenizer.pad_token_id,
  }
  fields = decoder_folder.config_fields(sizes) | {'bos_token_id': None, **ends}
  decoder_folder.save(folder, fields, params)
  said = ends | {
    'do_sample': True,
    'temperature': 1.0,
    'max_new_tokens': record['longest'],
  }
  for name, held in (('generation_config', said), ('pretraining', record)):
    with replacing(folder / f'{name}.json') as new:
      new.write_text(json.dumps(held, indent=1) + '\n')


def _last_loss(path: pathlib.Path) -> float:
  return json.loads(path.read_text().splitlines()[-1])['loss']
