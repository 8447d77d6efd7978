"""Pre-trains the bases of the worlds of clips: a small thinker, from scratch.

  L = −Σ_t log p(a_t | clip, prompt, a_<t) / Σ_t 1

over the tokens a of a completion and its end token, as in `texts`. Tower and
decoder are trained together. All answers are right at first: these teach the
rules of the world, which wrong ones hide. Then a share of them is wrong, which
leaves RL something to improve. The result is a folder of Qwen2.5-Omni's
thinker:

  config.json, model.safetensors   tower and decoder
  preprocessor_config.json         of the features of clips
  tokenizer.json, ...              of the world, for `AutoTokenizer`
  generation_config.json
  pretraining.json                 settings, loss, measured ability
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from functools import partial
import pathlib
from typing import Any

import jax
import numpy as np

from adrpo_jax.errors import unknown_name
from adrpo_jax.modalities.decoder_model import language_model
from adrpo_jax.modalities.language import LanguageModel, PromptFeatures
from adrpo_jax.models.audio import tower as audio_tower
from adrpo_jax.models.audio.prompts import SILENCE, AudioPrompts
from adrpo_jax.models.audio.tower import AudioTower, AudioTowerConfig
from adrpo_jax.models.decoder.decoder import Decoder, DecoderConfig
from adrpo_jax.pretrain.base_files import make_tokenizer
from adrpo_jax.pretrain.heard_prompts import MEL, make_prompts
from adrpo_jax.pretrain.stage import StageConfig, train_stage
from adrpo_jax.pretrain.text_ability import sampled, summary
from adrpo_jax.pretrain.texts import answer_loss, answered, initialized
from adrpo_jax.pretrain.thinker_folder import write
from adrpo_jax.system.records import read_lines
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import AUDIO_WORLDS, AudioWorld
from adrpo_jax.worlds.tones.items import Item

# A thinker that two CPU cores train: 0.13M parameters hear, 0.36M read.
SMALL_TOWER = AudioTowerConfig(
  num_mel_bins=MEL.feature_size,
  d_model=64,
  encoder_layers=2,
  encoder_attention_heads=4,
  encoder_ffn_dim=256,
  n_window=30,
  output_dim=96,
)
SMALL_DECODER = DecoderConfig(
  vocab_size=418,
  hidden_size=96,
  intermediate_size=224,
  num_hidden_layers=3,
  num_attention_heads=4,
  num_key_value_heads=2,
  head_dim=24,
  rms_norm_eps=1e-6,
  rope_theta=1e4,
  tie_word_embeddings=False,
  attention_bias=True,
  qk_norm=False,
)
MAX_LENGTH = 11  # tokens: two pairs of tags, four kinds, an option, the end
_SEEDS = 2**62  # number of seeds for the examples of a step

# (count, seed) -> items and their completions.
Examples = Callable[[int, int], Sequence[tuple[Item, str]]]


def run(
  workdir: pathlib.Path,
  *,
  world: str,
  solved_steps: int,
  steps: int,
  batch_size: int,
  learning_rate: float,
  ema_decay: float,
  save_every: int,
  samples: int,
  seed: int,
  max_completion_length: int = MAX_LENGTH,
  tower: AudioTowerConfig = SMALL_TOWER,
  decoder: DecoderConfig = SMALL_DECODER,
  versions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
  """Trains a base, writes it to workdir/base, and returns pretraining.json.

  Args:
    workdir: folder for the state; the same call continues from it.
    world: a name in AUDIO_WORLDS.
    solved_steps: steps of AdamW with warm-up and cosine decay, see
      `make_stage`, on right answers.
    steps: the same after these, on answers of which a share is wrong.
    batch_size: examples per step.
    learning_rate: the peak learning rate.
    ema_decay: decay of the averaged parameters, which are the ones it writes.
    save_every: steps between two saves of the state.
    samples: number of completions that measure the ability.
    seed: seed of the initial parameters, the examples and the measurement.
    max_completion_length: T, the largest number of tokens of a completion, end
      token included.
    tower: what hears.
    decoder: what reads; its vocabulary must be that of the world's tokenizer.
    versions: versions of packages, for pretraining.json.

  Raises:
    InputError: the world is unknown, the vocabulary differs from the
      tokenizer's, or a completion is longer than `max_completion_length`.
  """
  if world not in AUDIO_WORLDS:
    raise unknown_name(world, AUDIO_WORLDS, 'world of clips')
  task, folder = AUDIO_WORLDS[world], workdir / 'base'
  tokenizer = make_tokenizer(task.tokenizer, folder, world, decoder.vocab_size)
  max_length = max_completion_length
  heard_prompts = make_prompts(task, folder, tower.n_window)
  prompts_of = heard_prompts.arrays
  reads, hears = language_model(Decoder(decoder)), AudioTower(tower)

  def loss(params: PyTree, batch: Any, key: Array) -> Array:
    del key
    prompts, rows = batch
    heard = features(hears, params['tower'], prompts)
    return answer_loss(reads, params['decoder'], rows, max_length, heard)

  def batch_of(examples: Examples, numbers: np.ndarray) -> Any:
    drawn = examples(len(numbers), int(numbers[0]))
    prompts = prompts_of([item for item, _ in drawn])
    texts = prompts['tokens'], prompts['mask']
    completions = [completion for _, completion in drawn]
    return prompts, answered(texts, completions, tokenizer, max_length)

  stage = StageConfig(steps, batch_size, learning_rate, ema_decay, save_every)
  params = {
    'tower': _initialized_tower(tower, jax.random.key(seed)),
    'decoder': initialized(Decoder(decoder), jax.random.key(seed + 1)),
  }
  for name, count, examples in (
    ('solved', solved_steps, task.solved),
    ('answers', steps, task.examples),
  ):
    params = train_stage(
      name,
      dataclasses.replace(stage, steps=count),
      loss,
      params,
      partial(batch_of, examples),
      _SEEDS,
      workdir,
      seed=seed,
    )

  def measured(silent: bool) -> dict[str, Any]:
    return ability(
      task,
      reads,
      params['decoder'],
      tokenizer,
      prompts_of,
      jax.jit(lambda prompts: features(hears, params['tower'], prompts)),
      samples=samples,
      max_length=max_length,
      seed=seed,
      silent=silent,
    )

  record = {
    'world': world,
    'solved_steps': solved_steps,
    **dataclasses.asdict(stage),
    'seed': seed,
    'max_completion_length': max_length,
    'max_prompt_length': heard_prompts.longest,
    'parameters': sum(leaf.size for leaf in jax.tree.leaves(params)),
    'loss': read_lines(workdir / 'answers.jsonl')[-1]['loss'],
    'ability': measured(silent=False),
    'ability_silent': measured(silent=True),
    'versions': dict(versions or {}),
  }
  write(folder, tower, decoder, params, tokenizer, record)
  return record


def features(
  tower: AudioTower, params: PyTree, prompts: AudioPrompts
) -> PromptFeatures:
  """Returns what the tower hears of the clips of prompts, and its places."""
  heard = tower.apply(params, prompts['mel'], prompts['frames'])
  return PromptFeatures(heard, prompts['places'])


def ability(
  world: AudioWorld,
  model: LanguageModel,
  params: PyTree,
  tokenizer: Any,
  prompts_of: Callable[[Sequence[Item]], AudioPrompts],
  features_of: Callable[[AudioPrompts], PromptFeatures],
  *,
  samples: int,
  max_length: int,
  seed: int,
  silent: bool = False,
) -> dict[str, Any]:
  """Returns the scores of completions that are sampled at temperature 1.

  It samples one completion to each of `samples` held-out prompts, all at once;
  see `text_ability.ability` for what it returns. With `silent`, every clip is
  silence, which says what can be answered without hearing.
  """
  listed = world.items('held_out')
  rows = np.random.default_rng(seed).choice(
    len(listed), samples, replace=samples > len(listed)
  )
  items = [listed[row] for row in rows]
  prompts = prompts_of(items)
  if silent:
    prompts['mel'] = np.full_like(prompts['mel'], SILENCE)
  replies = sampled(
    model,
    params,
    (prompts['tokens'], prompts['mask']),
    tokenizer,
    max_length=max_length,
    seed=seed,
    features=features_of(prompts),
  )
  scores = [
    world.judge(item.text, reply, item.answer)
    for item, reply in zip(items, replies, strict=True)
  ]
  return summary(scores, [item.category for item in items])


def _initialized_tower(config: AudioTowerConfig, key: Array) -> PyTree:
  return jax.jit(lambda key: audio_tower.init_params(config, key))(key)
