"""Language models by online RL: the embedded sort worlds, Qwen.

  python -m adrpo_jax.main --config=configs/llm.py           the main job
  python -m adrpo_jax.main --config=configs/llm.py:debug     the whole path
  python -m adrpo_jax.main --config=configs/llm.py:sort_or_pass
                                                   a task with a cheap way out
  python -m adrpo_jax.main --config=configs/llm.py:paper     as published
  python -m adrpo_jax.compare --config=configs/llm.py:compare --seeds=3 ...
    :compare_sort_or_pass the same on that task

  python -m adrpo_jax.main --config=configs/llm.py:tiny_hf   Qwen's path, small
  python -m adrpo_jax.main --config=configs/llm.py:qwen3_0p6b \\
    --config.model.path=DIR --config.prompts.source=FILE \\
    --config.prompts.held_out=FILE --workdir=DIR             Qwen3, 0.6B

Plain values only; `adrpo_jax/builders/` is the one reader.
"""

import pathlib

from ml_collections import ConfigDict

from adrpo_jax.errors import unknown_name
from adrpo_jax.method.language_methods import METHODS, TABLE
from adrpo_jax.models.lora import DECODER
from adrpo_jax.rewards.text_table import TEXT_REWARDS

EXAMPLES = str(pathlib.Path(__file__).parent / 'questions.jsonl')


def get_config(preset: str = 'default') -> ConfigDict:
  """The config of a preset: default, sort_or_pass, debug, qwen*, ..."""
  if preset not in PRESETS:
    raise unknown_name(preset, PRESETS, 'preset')
  config = ConfigDict(
    {
      'seed': 0,
      'steps': 100,  # rollouts, each followed by updates_per_rollout updates
      'world': 'sort',  # sort, sort_or_pass; '' for prompts of files
      'model': {
        'family': 'text_world',  # qwen, qwen_tiny (a random one)
        'sizes': '',  # of a released Qwen, to compile for without its files
        # A folder of a base checkpoint, '' the one we ship; of Qwen, a folder
        # in the layout of transformers, gs:// or an id on the Hub.
        'path': '',
        'lora_rank': 0,  # 0 trains every weight
        'lora_alpha': 16.0,
        'lora_targets': DECODER,  # a pattern of names of dense kernels
        'dtype': 'float32',  # of activations; bfloat16 on accelerators
        'param_dtype': 'float32',  # of the base; what is trained is float32
        'unroll': True,  # layers one by one; False: a loop, for large models
        'kept': 'all',  # of layers, for gradients: all, products, nothing
        'template': 'chat',  # of prompts; none: they are continued as they are
        'system': '',  # what the system says before, for a chat
      },
      'prompts': {
        # .txt, .jsonl, .csv, .tsv, tfds:NAME or
        # reasoning_gym:TASK[,TASK...][:COUNT[:SEED]]; '' are the world's own
        'source': '',
        'held_out': '',  # the same, for evaluation; only without a world
        'longest': 32,  # tokens, the template's included
        'per_step': 32,  # P
        'samples': 8,  # G
      },
      'sampler': {
        'longest': 18,  # tokens of an answer, its end included
        'temperature': 1.0,
        'top_k': 0,  # 0 leaves all tokens
        'top_p': 1.0,
      },
      'training': {
        'updates_per_rollout': 2,
        'microbatches': 1,
        'chunk': 128,  # positions whose logits are held at a time
        'learning_rate': 3e-4,
        'warmup': 5,  # updates
        'weight_decay': 0.0,
        'clip_norm': 1.0,
        'ema': 0.0,  # decay of averaged weights, 0 for none
        'extrapolation': 1.0,  # λ of reference + λ·(trained − reference)
      },
      'method': {
        'name': 'adrpo',
        **{name: TABLE.parameters(name) for name in METHODS},
      },
      'reward': {
        # Of the sum that is trained on; the scale of each of its terms: raw,
        # standard (of a step), group (of a prompt) or fixed.
        'weights': dict.fromkeys(TEXT_REWARDS, 0.0) | {'sort': 1.0},
        'normalize': dict.fromkeys(TEXT_REWARDS, 'raw'),
        'hold_out': (),  # names of rewards that are measured, not trained on
        'parts': 1,  # of a step's prompts: one judged while the next is drawn
        'sort': {'success_weight': 1.0},
        'regex_format': {'pattern': r'(?s).*\\boxed\{.+\}.*'},
        'soft_overlong': {'limit': 1024, 'margin': 256},
        'reward_model': {'path': ''},
        'remote': {'url': '', 'timeout': 30.0, 'token_from': ''},
        'invalid_limit': 0.1,  # stop when more of a step's samples are invalid
      },
      'eval': {
        'prompts': 200,  # held out, balanced over the categories
        'samples': 4,  # of each
        'batch': 40,  # prompts at a time
        'temperature': 1.0,  # 0 is greedy, for one sample of each
        'every': 50,  # steps; 0 for the first and last only
      },
      'checkpoint': {'every': 50, 'keep': 2},
      'mesh': {'data': -1, 'fsdp': 1, 'tensor': 1},
      # Mirrors of metrics.jsonl. A W&B project also gets evaluations and
      # samples; '' is none.
      'log': {'tensorboard': True, 'wandb': {'project': ''}},
      'compare': {},  # what a method's runs of a comparison change, by its name
      'pretrain': {
        'steps': 200,  # 300 for sort_or_pass; more leave RL less to do
        'batch': 64,
        'learning_rate': 3e-3,
        'ema': 0.99,
        'save_every': 250,
        'samples': 1500,  # answers by which the ability is measured
      },
    }
  )
  config.method.dpo.pairs = ''  # your own; '' draws them from the base
  config.update(PRESETS[preset])
  return config


# Published for ADRPO on language models: the bases (Qwen2-0.5B, Qwen3-0.6B), a
# reward model, β₀ − A in place of GRPO's β. Not published, and our choice: all
# the rest, after the defaults of TRL's GRPOTrainer (eight samples, rate 1e-6,
# clip 0.2) and verl's GRPO recipes (1024 tokens of an answer, clip_norm 1).
QWEN = {
  'world': '',
  'steps': 500,
  'model': {
    'family': 'qwen',
    'dtype': 'bfloat16',
    'param_dtype': 'bfloat16',
    'unroll': False,
    'kept': 'nothing',
  },
  'prompts': {'longest': 512, 'per_step': 32, 'samples': 8},
  'sampler': {'longest': 1024},
  'training': {
    'updates_per_rollout': 1,
    'microbatches': 4,
    'learning_rate': 1e-6,
    'warmup': 10,
  },
  'reward': {
    'weights': {'sort': 0.0, 'math_match': 1.0},
    'parts': 2,
  },
  'eval': {'prompts': 128, 'samples': 4, 'batch': 32, 'every': 50},
  'mesh': {'data': -1, 'fsdp': 4},
}

# The world with a cheap answer that is paid too.
SORT_OR_PASS = {
  'world': 'sort_or_pass',
  'reward': {'weights': {'sort': 0.0, 'sort_or_pass': 1.0}},
  'pretrain': {'steps': 300},
}

# For adrpo_jax.compare: evaluations along the way, and two variants.
COMPARE = {
  'eval': {'every': 25},
  'checkpoint': {'every': 100},
  'log': {'tensorboard': False},
  'compare': {
    'adrpo_paper': {
      'method': {'name': 'adrpo', 'adrpo': TABLE.presets['adrpo']['paper']}
    },
    'grpo_without_kl': {'method': {'name': 'grpo', 'grpo': {'beta': 0.0}}},
  },
}

PRESETS = {
  'default': {},
  'sort_or_pass': SORT_OR_PASS,
  'qwen2_0p5b': QWEN | {'model': QWEN['model'] | {'sizes': 'qwen2_0p5b'}},
  'qwen3_0p6b': QWEN | {'model': QWEN['model'] | {'sizes': 'qwen3_0p6b'}},
  'qwen2p5_7b': QWEN
  | {
    'model': QWEN['model'] | {'sizes': 'qwen2p5_7b'},
    # The rollout has weights whole but for tensor: 15 GB would fill a chip.
    'mesh': {'data': -1, 'fsdp': 16, 'tensor': 4},
  },
  # A random model of the same layout: every step of the path, on a CPU.
  'tiny_hf': QWEN
  | {
    'steps': 2,
    'model': QWEN['model']
    | {
      'family': 'qwen_tiny',
      'dtype': 'float32',
      'param_dtype': 'float32',
    },
    'prompts': {
      'source': EXAMPLES,
      'held_out': EXAMPLES,
      'longest': 256,
      'per_step': 4,
      'samples': 4,
    },
    'sampler': {'longest': 16},
    'training': {'microbatches': 2, 'learning_rate': 1e-3},
    'reward': {
      'weights': {'sort': 0.0, 'regex_format': 1.0},
      'regex_format': {'pattern': '(?s).*[a-z].*'},
    },
    'eval': {'prompts': 8, 'samples': 2, 'batch': 4, 'every': 0},
    'checkpoint': {'every': 1},
    'log': {'tensorboard': False},
    'mesh': {'data': -1, 'fsdp': 1},
  },
  # One run of a comparison.
  'compare': COMPARE,
  'compare_sort_or_pass': SORT_OR_PASS | COMPARE,
  # What the papers publish; the rest of a method at its own defaults.
  'paper': {
    'method': {name: TABLE.parameters(name, 'paper') for name in METHODS}
  },
  # Every stage once or twice, in seconds: for tests and for a first look.
  'debug': {
    'steps': 2,
    'prompts': {'per_step': 8, 'samples': 4},
    'eval': {'prompts': 16, 'samples': 2, 'batch': 8, 'every': 0},
    'checkpoint': {'every': 1},
    'log': {'tensorboard': False},
    'pretrain': {'steps': 4, 'batch': 8, 'samples': 20, 'save_every': 2},
  },
}
