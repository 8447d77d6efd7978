"""TRL's trainers around a tiny Qwen2, with fixed completions and rewards.

The trainers are made as a user makes them, of a folder and a config. They pad,
mask, score and reduce; only the answers are given, not sampled, and only the
optimizer's step is left out.
"""

from typing import NamedTuple
import warnings

import datasets
import numpy as np
from tiny_decoders import SIZES
import tokenizers
import torch
import transformers
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer
from trl.trainer.utils import split_tensor_dict

P, G, L, T = 4, 4, 5, 6
PAD, END = 0, SIZES['vocab_size'] - 1

_random = np.random.default_rng(0)
_LENGTHS = [[6, 1, 4, 3], [2, 5, 1, 6], [3, 2, 6, 4], [5, 3, 2, 2]]
# Of 2 to L tokens, and of 1 to T, the end included.
PROMPTS = [_random.integers(1, END, n).tolist() for n in (5, 2, 3, 4)]
ANSWERS = [
  [[*_random.integers(1, END, n - 1).tolist(), END] for n in lengths]
  for lengths in _LENGTHS
]
REWARDS = _random.normal(size=(P, G)).astype(np.float32)
REWARDS[2] = 0.5  # a group that says nothing
WINNERS = (0, 1, 1, 0)  # of the first two answers to each prompt


class Seen(NamedTuple):
  """A rollout and its loss, as a GRPOTrainer computed them."""

  drawn: dict  # the rollout, as its loss reads it
  loss: torch.Tensor  # summed over the microbatches of an optimizer step
  states: list  # of the policy, [rows, L + T, D] for each microbatch
  reference: list  # the same of the reference; none where it is not read


def moved(state, size, seed):
  """Adds `size` times normal noise to weights."""
  generator = torch.Generator().manual_seed(seed)
  return {
    name: tensor + size * torch.randn(tensor.shape, generator=generator)
    for name, tensor in state.items()
  }


def tokenizer():
  """A tokenizer of the words w0 … w49, separated by spaces."""
  words = {f'w{i}': i for i in range(SIZES['vocab_size'])}
  whole = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, 'w0'))
  whole.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=whole, pad_token=f'w{PAD}', eos_token=f'w{END}'
  )


def grpo(folder, workdir, *, parts=1, **settings):
  """A GRPOTrainer whose policy and reference are both the folder's.

  It updates twice on a rollout, for otherwise it keeps no log-probabilities of
  the policy of the rollout.
  """
  config = {
    'per_device_train_batch_size': P * G // parts,
    'gradient_accumulation_steps': parts,
    'num_generations': G,
    'num_iterations': 2,
    'max_completion_length': T,
  }
  with warnings.catch_warnings():
    warnings.filterwarnings('ignore', "You are using 'rollout_func'")
    trainer = GRPOTrainer(
      model=str(folder),
      reward_funcs=lambda reward, **others: reward,
      args=GRPOConfig(**_quietly(workdir), **(config | settings)),
      train_dataset=datasets.Dataset.from_list(rows()),
      processing_class=tokenizer(),
      rollout_func=lambda prompts, trainer: {
        'prompt_ids': [ids for ids in PROMPTS for _ in range(G)],
        'completion_ids': [ids for group in ANSWERS for ids in group],
        'logprobs': None,
      },
    )
  trainer.model.train()
  return trainer


def grpo_loss(trainer, old, current):
  """The loss at the weights `current`, for samples of the weights `old`."""
  parts = trainer.args.gradient_accumulation_steps
  trainer.model.load_state_dict(old)
  reference = _kept_states(trainer.ref_model)
  drawn = trainer._generate_and_score_completions(rows())
  trainer.model.load_state_dict(current)
  states = _kept_states(trainer.model)
  # The loop of `train` sets it, to the microbatches there are.
  trainer.current_gradient_accumulation_steps = parts
  losses = [
    trainer.compute_loss(trainer.model, part)
    for part in split_tensor_dict(drawn, parts)
  ]
  return Seen(drawn, sum(losses), states, reference)


def dpo(folder, workdir, **settings):
  """A DPOTrainer whose reference is the folder's."""
  pairs = [
    {
      'prompt': _text(PROMPTS[p]),
      'chosen': ' ' + _text(ANSWERS[p][winner]),
      'rejected': ' ' + _text(ANSWERS[p][1 - winner]),
    }
    for p, winner in enumerate(WINNERS)
  ]
  trainer = DPOTrainer(
    model=str(folder),
    args=DPOConfig(
      **_quietly(workdir), per_device_train_batch_size=P, **settings
    ),
    train_dataset=datasets.Dataset.from_list(pairs),
    processing_class=tokenizer(),
  )
  trainer.model.train()
  return trainer


def dpo_loss(trainer, current):
  """The loss of all pairs in one batch at `current`, with gradients."""
  trainer.model.load_state_dict(current)
  batch = trainer.data_collator([trainer.train_dataset[p] for p in range(P)])
  return trainer.compute_loss(trainer.model, batch)


def _quietly(workdir):
  """Settings for float32 on the CPU, without what no loss needs."""
  return {
    'output_dir': str(workdir),
    'report_to': 'none',
    'use_cpu': True,
    'bf16': False,
    'gradient_checkpointing': False,
    'model_init_kwargs': {'dtype': 'float32', 'attn_implementation': 'eager'},
  }


def _kept_states(model):
  """A list to which every later pass appends its last states."""
  found = []

  def keep(module, given, states):
    if states.requires_grad:
      states.retain_grad()
    found.append(states)

  if model is not None:
    model.model.norm.register_forward_hook(keep)
  return found


def rows():
  return [
    {'prompt': _text(PROMPTS[p]), 'reward': float(REWARDS[p, g])}
    for p, g in np.ndindex(P, G)
  ]


def _text(ids):
  return ' '.join(f'w{i}' for i in ids)
