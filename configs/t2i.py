"""Text-to-image by online RL: the embedded shapes world, Stable Diffusion 3.

  python -m adrpo_jax.main --config=configs/t2i.py            the main job
  python -m adrpo_jax.main --config=configs/t2i.py:debug      the whole path
  python -m adrpo_jax.main --config=configs/t2i.py:paper      as published
  python -m adrpo_jax.compare --config=configs/t2i.py:compare --seeds=3 ...

  python -m adrpo_jax.main --config=configs/t2i.py:sd3_tiny   SD3's path, small
  python -m adrpo_jax.main --config=configs/t2i.py:sd3_medium \\
    --config.model.path=DIR --config.prompts.source=FILE \\
    --config.prompts.eval_prompts=FILE --workdir=DIR          SD3, LoRA, 512²

MAIN holds the keys to decide first, SETTINGS the rest, COMPUTE what changes
speed and memory but no result. A preset is a list of updates, applied in order.
All values are plain; only `adrpo_jax/builders/` reads them.
"""

import pathlib

from ml_collections import ConfigDict

from adrpo_jax.errors import unknown_name
from adrpo_jax.method.methods import METHODS
from adrpo_jax.models.lora import ATTENTION
from adrpo_jax.rewards.image_table import REWARDS
from adrpo_jax.system.cache_files import cache_folder

EXAMPLES = str(pathlib.Path(__file__).parent / 'prompts.csv')


def get_config(preset: str = 'default') -> ConfigDict:
  """Returns the config of a preset: default, compare, paper, debug, sd3_*."""
  if preset not in PRESETS:
    raise unknown_name(preset, PRESETS, 'preset')
  config = ConfigDict(MAIN)
  for update in (SETTINGS, METHOD_PARAMETERS, COMPUTE, *PRESETS[preset]):
    config.update(update)
  return config


MAIN = {
  'seed': 0,  # of training; evaluations do not depend on it
  'steps': 300,  # rollouts, each followed by updates_per_rollout updates
  'world': 'shapes',  # an embedded task; '' for prompts of files
  'model': {
    'family': 'world',  # world, sd3, or sd3_tiny, a random one
    # A folder of a base checkpoint, '' for the one that ships with the package.
    # For SD3: a folder in the layout of diffusers, gs:// or an id on the Hub.
    'path': '',
    'lora_rank': 0,  # 0 trains every weight of the transformer
  },
  'prompts': {
    # .txt, .jsonl, .csv, .tsv or tfds:NAME; '' for the prompts of the world
    'source': '',
    'eval_prompts': '',  # the held-out prompts likewise; only without a world
    'text_column': '',  # of these; '' for names such as prompt and caption
    'prompts_per_step': 24,  # P, the prompts of a step
    'group_size': 8,  # G, samples of a prompt
  },
  'reward': {
    # Training maximizes the sum of the rewards with these weights.
    'weights': dict.fromkeys(REWARDS, 0.0) | {'shapes': 1.0},
    # Your own functions, FILE.py:NAME or MODULE:NAME with (KEY=VALUE, ...),
    # joined by commas. A weight is one of the arguments, 1 if there is none.
    'python': '',
  },
  'method': {
    'name': 'adrpo',  # a row of the table of methods
    'python': '',  # a method of your own, written as for a reward
  },
  'training': {'learning_rate': 3e-4},  # of AdamW, after the warm-up
  'eval': {'every': 100},  # steps; 0 evaluates before and after the run
}

SETTINGS = {
  'model': {
    'architecture': '',  # of a released SD3, to compile for without its files
    'lora_alpha': 16.0,  # adapters are scaled by lora_alpha / lora_rank
    'lora_targets': ATTENTION,  # a pattern of names of dense kernels
    'dtype': 'float32',  # of activations; bfloat16 on accelerators
    'param_dtype': 'float32',  # of the base; trained weights are float32
    'resolution': 512,  # pixels along an edge of SD3's images
    't5_length': 256,  # tokens that T5 reads; diffusers' default
    'decode_tile': 0,  # latents along a tile of the decoder; 0 for one tile
  },
  'sampler': {
    'steps': 8,  # solver steps of rollouts and evaluations
    'shift': 0.0,  # of the noise levels; 0 for that of the model's folder
    'solver': 'euler',  # euler, heun, flow_sde, cps, dance_sde
    'eta': 0.7,  # noise of the stochastic solvers
    'trained_steps': 0,  # flow_grpo learns from the first ones; 0 for all
    # Of classifier-free guidance, 1 for none; one above 1 costs two forwards.
    'guidance_scale': 1.0,  # of rollouts
  },
  'training': {
    'updates_per_rollout': 2,  # optimizer updates on the samples of a step
    'guidance_scale': 1.0,  # of the loss: the policy and its anchors
    'noise_draws': 1,  # S, pairs (σ, ε) of a sample in an update
    'sigma_distribution': 'logit_normal',  # of noise levels; or uniform
    'warmup_steps': 5,  # updates in which the learning rate rises
    'weight_decay': 0.0,  # of AdamW
    'max_grad_norm': 1.0,  # gradients of a larger norm are scaled down to it
    # Decay of averaged weights, 0 for none. Evaluations use them: at this
    # learning rate the gradient noise of the current weights costs reward.
    'ema_decay': 0.98,
    # λ of reference + λ·(averaged − reference), which is evaluated, sampled
    # and exported. Above 1: more success for more divergence, without training.
    'extrapolation': 1.25,
    # Steps after which the policy that is evaluated, before λ, becomes the
    # reference of the divergence, as in ProRL and TR-DPO; 0: the base stays it.
    # Evaluations report the divergence from the base all the same.
    'reference_sync_steps': 150,
  },
  'reward': {
    # The scale of each term: raw, standard (by the step), group (by the
    # prompt) or fixed.
    'normalize': dict.fromkeys(REWARDS, 'raw'),
    'monitor_only': (),  # names of rewards that are measured, not trained on
    # The parameters of each reward, under its name.
    **{name: row.parameters for name, row in REWARDS.items()},
    # (1 − w)·[share of the facts that hold] + w·[all of them hold], and for a
    # right sample s·[how much farther it is from the others of its prompt than
    # a sample is in the mean], which keeps samples diverse.
    'shapes': {'success_weight': 0.5, 'spread_weight': 2.0},
    'invalid_limit': 0.1,  # share of a step's samples; more stop the run
  },
  'eval': {
    'num_prompts': 128,  # held out, of each category; of a file at most
    'group_size': 4,  # samples of a prompt
    'batch_size': 32,  # prompts at a time
    # Of evaluations. Samples and results are those of the first; each further
    # one is evaluated too, and its figures end with its name, guidance_SCALE.
    'guidance_scales': (1.0,),
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
    'decode_chunks': 1,  # of the samples, decoded one after another
    # How often devices gather the weights that they share: once for an update
    # and a rollout, once for a rollout alone, or for each layer. auto chooses
    # the first that fits the memory.
    'gather': 'auto',
  },
}

# A clip below β₀ is sufficient for stability, and here it costs reward:
# advantages of ±0.5 pass, and the reference moves before samples widen. With
# one reference β₀ = 0.02 diverges within 100 steps. The others are the best of
# two or three trials of each, listed in benchmarks/results/t2i_trials.md.
METHOD_PARAMETERS = {
  'method': {
    **{name: METHODS.parameters(name) for name in METHODS},
    'adrpo': METHODS.parameters('adrpo')
    | {'beta0': 0.05, 'advantage_clip': 10.0},
    'fixed_w2': METHODS.parameters('fixed_w2')
    | {'beta': 0.05, 'advantage_clip': 10.0},
    'ram': METHODS.parameters('ram') | {'beta': 0.05, 'advantage_clip': 10.0},
    'awm': METHODS.parameters('awm') | {'beta': 0.05, 'ema_weight': 0.05},
    'orw_cfm_w2': METHODS.parameters('orw_cfm_w2')
    | {'tau': 4.0, 'alpha': 30.0},
    'flow_grpo': METHODS.parameters('flow_grpo') | {'clip_range': 1e-3},
    # A file of your own pairs; '' for pairs drawn from the base.
    'dpo': METHODS.parameters('dpo') | {'pairs': ''},
  },
}

# Published for ADRPO on SD3: the base (SD3 medium, 2B), LoRA, a CLIP score,
# three seeds. All the rest is not published, and our choice after Flow-GRPO's
# SD3.5 recipe (arXiv 2505.05470: rank 32, alpha 64, 512², ten steps, 3e-4,
# weight decay 1e-4, clip 1.0). β₀ = 1 is the advice of the authors' earlier
# ORW-CFM-W2; the clip of 0.9·β₀ keeps a fixed point. Rollout and loss are not
# guided, as in DiffusionNFT (arXiv 2509.16117): a guided pass costs two.
# Evaluations are at 1, which is trained, and at 4.5, as Flow-GRPO samples.
SD3 = {
  'world': '',
  'steps': 1000,
  'model': {
    'family': 'sd3',
    'lora_rank': 32,
    'lora_alpha': 64.0,
    'dtype': 'bfloat16',
    'param_dtype': 'bfloat16',
  },
  'prompts': {'prompts_per_step': 32, 'group_size': 16},
  'sampler': {'steps': 10, 'guidance_scale': 1.0},
  'training': {
    'updates_per_rollout': 1,
    'guidance_scale': 1.0,
    'sigma_distribution': 'uniform',
    'learning_rate': 3e-4,
    'warmup_steps': 10,
    'weight_decay': 1e-4,
    'ema_decay': 0.9,
    'extrapolation': 1.0,
    'reference_sync_steps': 0,
  },
  'method': {'adrpo': {'beta0': 1.0, 'advantage_clip': 0.9}},
  # A CLIP score differs by points within a prompt; β₀ is in units of that.
  'reward': {
    'weights': {'shapes': 0.0, 'clip_score': 1.0},
    'normalize': {'clip_score': 'standard'},
  },
  'eval': {
    'num_prompts': 64,
    'group_size': 4,
    'batch_size': 16,
    'every': 100,
    'guidance_scales': (1.0, 4.5),
  },
  'checkpoint': {'every': 50},
  'mesh': {'data': -1, 'fsdp': 0},
  'compute': {
    'scan_layers': True,
    'remat_policy': 'nothing',
    'microbatches': 2,
    'decode_chunks': 16,
  },
}

# One chip with 16 GiB, v5e:1x1, as Colab and Kaggle lend it.
SD3_COLAB = {
  'prompts': {'prompts_per_step': 8, 'group_size': 8},
  'eval': {'batch_size': 4},
  'mesh': {'fsdp': 1},
  'compute': {'microbatches': 8, 'reward_chunks': 4, 'decode_chunks': 4},
}

# A random model of the same layout: every step of the path, on a CPU.
SD3_TINY = {
  'steps': 2,
  'model': {
    'family': 'sd3_tiny',
    'dtype': 'float32',
    'param_dtype': 'float32',
    'lora_rank': 2,
    'lora_alpha': 4.0,
    'resolution': 64,
    't5_length': 16,
  },
  'prompts': {
    'source': EXAMPLES,
    'eval_prompts': EXAMPLES,
    'prompts_per_step': 4,
    'group_size': 2,
  },
  'sampler': {'steps': 2},
  'reward': {'clip_score': {'path': str(cache_folder() / 'clip_tiny')}},
  'eval': {'num_prompts': 8, 'group_size': 2, 'batch_size': 4, 'every': 0},
  'checkpoint': {'every': 1},
  'log': {'tensorboard': False},
  'mesh': {'fsdp': 1},
  'compute': {'decode_chunks': 1},
}

# The world's reward alone, and the divergence of the papers, from the base.
ONE_REFERENCE = {
  'reward': {'shapes': {'spread_weight': 0.0}},
  'training': {'reference_sync_steps': 0},
}

# One run of a comparison: two minutes on two cores.
COMPARE = {
  **ONE_REFERENCE,
  'steps': 60,
  'method': {'adrpo': {'allow_unstable': True}},  # stable for so many steps
  'eval': {'every': 0},
  'checkpoint': {'every': 60},
  'log': {'tensorboard': False},
  'compare': {
    'fixed_w2': {'training': {'sigma_distribution': 'uniform'}},
    'ram': {'training': {'sigma_distribution': 'uniform'}},
    'dpo': {'training': {'sigma_distribution': 'uniform'}},
    'orw_cfm_w2': {'training': {'learning_rate': 5e-5}},
    'raft': {'training': {'learning_rate': 1.5e-5}},
    'rwr': {'training': {'learning_rate': 1.5e-5}},
    'flow_grpo': {'sampler': {'trained_steps': 2}},
  },
}

# What the papers publish; the other parameters of a method at its defaults.
PAPER = {
  **ONE_REFERENCE,
  'method': {name: METHODS.parameters(name, 'paper') for name in METHODS},
}

# Every stage once or twice, in seconds: for tests and for a first look.
DEBUG = {
  'steps': 2,
  'prompts': {'prompts_per_step': 8, 'group_size': 4},
  'sampler': {'steps': 2},
  'eval': {'num_prompts': 16, 'group_size': 2, 'batch_size': 8, 'every': 0},
  'checkpoint': {'every': 1},
  'log': {'tensorboard': False},
}

PRESETS = {
  'default': (),
  'sd3_medium': (SD3, {'model': {'architecture': 'sd3_medium'}}),
  'sd3_medium_colab': (
    SD3,
    {'model': {'architecture': 'sd3_medium'}},
    SD3_COLAB,
  ),
  'sd35_medium': (SD3, {'model': {'architecture': 'sd35_medium'}}),
  'sd35_large': (SD3, {'model': {'architecture': 'sd35_large'}}),
  'sd3_tiny': (SD3, SD3_TINY),
  'compare': (COMPARE,),
  'paper': (PAPER,),
  'debug': (DEBUG,),
}
