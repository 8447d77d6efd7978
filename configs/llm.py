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
    --config.prompts.eval_prompts=FILE --workdir=DIR         Qwen3, 0.6B
  python -m adrpo_jax.main --config=configs/llm.py:smollm2_135m \\
    --config.model.path=DIR --workdir=DIR     SmolLM2, on two cores, see
                                              benchmarks/real_model/

MAIN holds the keys to decide first, SETTINGS the rest, COMPUTE what changes
speed and memory but no result. A preset is a list of updates, applied in order.
All values are plain; only `adrpo_jax/builders/` reads them.
"""

import pathlib

from ml_collections import ConfigDict

from adrpo_jax.errors import unknown_name
from adrpo_jax.method.language_methods import LANGUAGE_METHODS as METHODS
from adrpo_jax.models.lora import DECODER
from adrpo_jax.rewards.text_table import TEXT_REWARDS

EXAMPLES = str(pathlib.Path(__file__).parent / 'questions.jsonl')


def get_config(preset: str = 'default') -> ConfigDict:
  """Returns the config of a preset: default, sort_or_pass, debug, qwen*, ..."""
  if preset not in PRESETS:
    raise unknown_name(preset, PRESETS, 'preset')
  config = ConfigDict(MAIN)
  for update in (SETTINGS, METHOD_PARAMETERS, COMPUTE, *PRESETS[preset]):
    config.update(update)
  return config


MAIN = {
  'seed': 0,  # of training; evaluations do not depend on it
  'steps': 100,  # rollouts, each followed by updates_per_rollout updates
  'world': 'sort',  # sort, sort_or_pass; '' for prompts of files
  'model': {
    'family': 'text_world',  # text_world, qwen, or qwen_tiny, a random one
    # A folder of a base checkpoint, '' for the one that ships with the package.
    # For Qwen: a folder in the layout of transformers, gs:// or an id on the
    # Hub.
    'path': '',
    'lora_rank': 0,  # 0 trains every weight
  },
  'prompts': {
    # .txt, .jsonl, .csv, .tsv, tfds:NAME or
    # reasoning_gym:TASK[,TASK...][:COUNT[:SEED]] or
    # instructions:SPLIT[:COUNT[:SEED]]; '' for those of the world
    'source': '',
    'eval_prompts': '',  # the held-out prompts likewise; only without a world
    # The column or key of the prompts; '' for names as prompt and question.
    'text_column': '',
    'answer_column': '',  # of reference answers; '' for answer, solution, ...
    'prompts_per_step': 32,  # P, the prompts of a step
    'group_size': 8,  # G, completions of a prompt
    'max_prompt_length': 32,  # tokens, with those of the template
  },
  'sampler': {
    'max_completion_length': 18,  # tokens, with the end token
  },
  'reward': {
    # Training maximizes the sum of the rewards with these weights.
    'weights': dict.fromkeys(TEXT_REWARDS, 0.0) | {'sort': 1.0},
    # Your own functions, FILE.py:NAME or MODULE:NAME with (KEY=VALUE, ...),
    # joined by commas. A weight is one of the arguments, 1 if there is none.
    'python': '',
  },
  'method': {
    'name': 'adrpo',  # a row of the table of methods
    'python': '',  # a method of your own, written as for a reward
  },
  'training': {'learning_rate': 3e-4},  # of AdamW, after the warm-up
  'eval': {'every': 50},  # steps; 0 evaluates before and after the run
}

SETTINGS = {
  'model': {
    'architecture': '',  # of a released Qwen, to compile for without its files
    'lora_alpha': 16.0,  # adapters are scaled by lora_alpha / lora_rank
    'lora_targets': DECODER,  # a pattern of names of dense kernels
    'dtype': 'float32',  # of activations; bfloat16 on accelerators
    'param_dtype': 'float32',  # of the base; trained weights are float32
    'template': 'chat',  # none: the model continues the prompt as it is
    'system': '',  # the system message of a chat
    'template_arguments': '',  # of the chat template: enable_thinking=False
  },
  'sampler': {
    'temperature': 1.0,  # logits are divided by it
    'top_k': 0,  # 0 leaves all tokens
    'top_p': 1.0,  # the most likely tokens of this total probability
    # Sequences sampled at a time: one that ends makes room for the next. 0
    # samples all at once, and all wait for the longest.
    'max_num_seqs': 0,
  },
  'training': {
    'updates_per_rollout': 2,  # optimizer updates on the samples of a step
    'warmup_steps': 5,  # updates in which the learning rate rises
    'weight_decay': 0.0,  # of AdamW
    'max_grad_norm': 1.0,  # gradients of a larger norm are scaled down to it
    'ema_decay': 0.0,  # of averaged weights, 0 for none
    'extrapolation': 1.0,  # λ of reference + λ·(trained − reference)
    # Steps after which the policy that is evaluated, before λ, becomes the
    # reference of the divergence; 0: the base stays it (ProRL, TR-DPO).
    # Evaluations report the divergence from the base all the same.
    'reference_sync_steps': 0,
  },
  'reward': {
    # The scale of each term: raw, standard (by the step), group (by the
    # prompt) or fixed.
    'normalize': dict.fromkeys(TEXT_REWARDS, 'raw'),
    'monitor_only': (),  # names of rewards that are measured, not trained on
    # The parameters of each reward, under its name.
    **{name: row.parameters for name, row in TEXT_REWARDS.items()},
    'invalid_limit': 0.1,  # share of a step's samples; more stop the run
  },
  'eval': {
    'num_prompts': 200,  # held out, of each category; of a file at most
    'group_size': 4,  # completions of a prompt
    'batch_size': 40,  # prompts at a time
    'temperature': 1.0,  # 0 is greedy, with a group_size of 1
  },
  'checkpoint': {
    'every': 50,  # steps; 0 saves after the last alone
    'max_to_keep': 2,  # the newest ones; at least 2, should one be damaged
  },
  'log': {
    'tensorboard': True,  # a mirror of metrics.jsonl
    'wandb': {'project': ''},  # a mirror of the whole run; '' for none
    'profile': '',  # steps FIRST:LAST whose trace is written; '' for none
  },
  'compare': {},  # method -> what its runs in a comparison change
}

METHOD_PARAMETERS = {
  'method': {
    **{name: METHODS.parameters(name) for name in METHODS},
    # A file of your own pairs; '' for pairs drawn from the base.
    'dpo': METHODS.parameters('dpo') | {'pairs': ''},
  },
}

COMPUTE = {
  'mesh': {
    'data': -1,  # devices that split the batch; -1 for all the rest
    # Devices that split the batch and the weights; 0 chooses the fewest whose
    # memory the weights fill by no more than half.
    'fsdp': 1,
    'tensor': 1,  # devices that split each layer
  },
  'compute': {
    'scan_layers': False,  # True: a loop over layers, for large models
    # What layers keep for gradients: everything, dots or nothing. The rest is
    # computed again.
    'remat_policy': 'everything',
    # Of products of float32 arrays: default is JAX's, float32 on a CPU and less
    # on other devices; bfloat16 rounds what is multiplied and sums in float32;
    # auto measures which of both is faster on a CPU. Log-probabilities of a
    # rollout are then no longer checked to 1e-5.
    'products': 'default',
    'microbatches': 1,  # parts of an update, one after another
    'reward_chunks': 1,  # of a step; one is judged while the next is sampled
    'logits_chunk': 128,  # positions whose logits are in memory at a time
    # True: an update reads a prompt once for its completions, not for each.
    'shared_prefix': False,
  },
}

# Published for ADRPO on language models: the bases (Qwen2-0.5B, Qwen3-0.6B), a
# reward model, β₀ − A in place of GRPO's β. All the rest is not published, and
# our choice after the defaults of TRL's GRPOTrainer (eight samples, rate 1e-6,
# clip 0.2) and verl's GRPO recipes (1024 tokens of an answer, gradient norm 1).
QWEN = {
  'world': '',
  'steps': 500,
  'model': {
    'family': 'decoder',
    'dtype': 'bfloat16',
    'param_dtype': 'bfloat16',
  },
  'prompts': {
    'max_prompt_length': 512,
    'prompts_per_step': 32,
    'group_size': 8,
  },
  'sampler': {'max_completion_length': 1024},
  'training': {
    'updates_per_rollout': 1,
    'learning_rate': 1e-6,
    'warmup_steps': 10,
  },
  'reward': {'weights': {'sort': 0.0, 'math_match': 1.0}},
  'eval': {'num_prompts': 128, 'group_size': 4, 'batch_size': 32, 'every': 50},
  'mesh': {'data': -1, 'fsdp': 0},
  'compute': {
    'scan_layers': True,
    'remat_policy': 'nothing',
    'microbatches': 4,
    'reward_chunks': 2,
  },
}

QWEN_7B = {
  'model': {'architecture': 'qwen2p5_7b'},
  # A rollout has whole weights but for tensor: 15 GB would fill a chip.
  'mesh': {'fsdp': 16, 'tensor': 4},
}

# A random model of the same layout: every step of the path, on a CPU.
TINY_HF = {
  'steps': 2,
  'model': {
    'family': 'qwen_tiny',
    'dtype': 'float32',
    'param_dtype': 'float32',
  },
  'prompts': {
    'source': EXAMPLES,
    'eval_prompts': EXAMPLES,
    'max_prompt_length': 256,
    'prompts_per_step': 4,
    'group_size': 4,
  },
  'sampler': {'max_completion_length': 16},
  'training': {'learning_rate': 1e-3},
  'reward': {
    'weights': {'math_match': 0.0, 'regex_format': 1.0},
    'regex_format': {'pattern': '(?s).*[a-z].*'},
  },
  'eval': {'num_prompts': 8, 'group_size': 2, 'batch_size': 4, 'every': 0},
  'checkpoint': {'every': 1},
  'log': {'tensorboard': False},
  'mesh': {'fsdp': 1},
  'compute': {'microbatches': 2},
}

# SmolLM2-135M-Instruct, for two cores: prompts of a grammar, with constraints
# that a program checks. LoRA; lora_rank=0 with a rate of 1e-5 trains all.
SMOLLM2 = {
  'world': '',
  'steps': 300,
  'model': {'family': 'decoder', 'lora_rank': 16, 'lora_alpha': 32.0},
  'prompts': {
    'source': 'instructions:train:4000',
    'eval_prompts': 'instructions:held_out:400',
    'max_prompt_length': 128,
    'prompts_per_step': 8,
    'group_size': 4,
  },
  'sampler': {'max_completion_length': 48},
  'training': {'learning_rate': 1e-4},
  'reward': {'weights': {'sort': 0.0, 'instructions': 1.0}},
  'eval': {'num_prompts': 64, 'group_size': 2, 'batch_size': 16},
  'checkpoint': {'every': 25},
  'compute': {'scan_layers': True, 'shared_prefix': True, 'microbatches': 4},
}

# The world with a cheap answer that is paid too.
SORT_OR_PASS = {
  'world': 'sort_or_pass',
  'reward': {'weights': {'sort': 0.0, 'sort_or_pass': 1.0}},
}

# For adrpo_jax.compare: evaluations along the way, and two variants.
COMPARE = {
  'eval': {'every': 25},
  'checkpoint': {'every': 100},
  'log': {'tensorboard': False},
  'compare': {
    'adrpo_paper': {
      'title': 'ADRPO as published',
      'method': {'name': 'adrpo', 'adrpo': dict(METHODS['adrpo'].paper)},
    },
    'grpo_without_kl': {
      'title': 'GRPO without KL',
      'method': {'name': 'grpo', 'grpo': {'beta': 0.0}},
    },
  },
}

# The same for SmolLM2, with Dr. GRPO and with every weight trained.
COMPARE_SMOLLM2 = {
  'checkpoint': {'every': 25},
  'compare': {
    'dr_grpo': {
      'title': 'Dr. GRPO',
      'method': {
        'name': 'grpo',
        'grpo': {'advantage': 'centered', 'aggregation': 'constant_length'},
      },
    },
    'adrpo_full': {
      'title': 'ADRPO, all weights',
      'method': {'name': 'adrpo'},
      'model': {'lora_rank': 0},
      'training': {'learning_rate': 1e-5},
    },
  },
}

# What the papers publish; the other parameters of a method at its defaults.
PAPER = {
  'method': {name: METHODS.parameters(name, 'paper') for name in METHODS}
}

# Every stage once or twice, in seconds: for tests and for a first look.
DEBUG = {
  'steps': 2,
  'prompts': {'prompts_per_step': 8, 'group_size': 4},
  'eval': {'num_prompts': 16, 'group_size': 2, 'batch_size': 8, 'every': 0},
  'checkpoint': {'every': 1},
  'log': {'tensorboard': False},
}

PRESETS = {
  'default': (),
  'sort_or_pass': (SORT_OR_PASS,),
  'qwen2_0p5b': (QWEN, {'model': {'architecture': 'qwen2_0p5b'}}),
  'qwen3_0p6b': (QWEN, {'model': {'architecture': 'qwen3_0p6b'}}),
  'qwen2p5_7b': (QWEN, QWEN_7B),
  'tiny_hf': (QWEN, TINY_HF),
  'smollm2_135m': (SMOLLM2,),
  'compare': (COMPARE,),
  'compare_sort_or_pass': (SORT_OR_PASS, COMPARE),
  'compare_smollm2_135m': (SMOLLM2, COMPARE, COMPARE_SMOLLM2),
  'paper': (PAPER,),
  'debug': (DEBUG,),
}
