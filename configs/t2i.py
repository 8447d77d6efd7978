"""Text-to-image by online RL: the embedded shapes world, Stable Diffusion 3.

  python -m adrpo_jax.main --config=configs/t2i.py            the main job
  python -m adrpo_jax.main --config=configs/t2i.py:debug      the whole path
  python -m adrpo_jax.main --config=configs/t2i.py:paper      as published
  python -m adrpo_jax.compare --config=configs/t2i.py:compare --seeds=3 ...

  python -m adrpo_jax.main --config=configs/t2i.py:sd3_tiny   SD3's path, small
  python -m adrpo_jax.main --config=configs/t2i.py:sd3_medium \\
    --config.model.path=DIR --config.prompts.source=FILE \\
    --config.prompts.held_out=FILE --workdir=DIR              SD3, LoRA, 512²

Plain values only; `adrpo_jax/builders/` is the one reader.
"""

import pathlib

from ml_collections import ConfigDict

from adrpo_jax.errors import unknown_name
from adrpo_jax.method.methods import METHODS, parameters
from adrpo_jax.models.files.hub import cache_folder
from adrpo_jax.models.lora import ATTENTION
from adrpo_jax.rewards.image_table import REWARDS

EXAMPLES = str(pathlib.Path(__file__).parent / 'prompts.csv')


def get_config(preset: str = 'default') -> ConfigDict:
  """The config of a preset: default, compare, paper, debug, sd3_*."""
  if preset not in PRESETS:
    raise unknown_name(preset, PRESETS, 'preset')
  config = ConfigDict(
    {
      'seed': 0,
      'steps': 300,  # rollouts, each followed by updates_per_rollout updates
      'world': 'shapes',
      'model': {
        'family': 'world',  # sd3, sd3_tiny (a random one)
        'sizes': '',  # of a released SD3, to compile for without its files
        # A folder of a base checkpoint, '' the one we ship; of SD3, a folder
        # in the layout of diffusers, gs:// or an id on the Hub.
        'path': '',
        'lora_rank': 0,  # 0 trains every weight of the transformer
        'lora_alpha': 16.0,
        'lora_targets': ATTENTION,  # a pattern of names of dense kernels
        'dtype': 'float32',  # of activations; bfloat16 on accelerators
        'param_dtype': 'float32',  # of the base; what is trained is float32
        'unroll': True,  # layers one by one; False: a loop, for large models
        'kept': 'all',  # of layers, for gradients: all, products, nothing
        'pixels': 512,  # of SD3's images, along an edge
        't5_length': 256,  # tokens that T5 reads; diffusers' default
        'decode_tile': 0,  # latents along a tile of the decoder; 0 is whole
        'decode_parts': 1,  # of the samples, decoded one after another
      },
      'prompts': {
        # .txt, .jsonl, .csv, .tsv or tfds:NAME; '' are the world's own
        'source': '',
        'held_out': '',  # the same, for evaluation; only without a world
        'per_step': 24,  # P
        'samples': 8,  # G
      },
      'sampler': {
        'steps': 8,  # solver steps of rollouts and evaluations
        'shift': 1.0,  # of the noise levels; SD3 takes 3.0 at its resolutions
        'transition': 'euler',  # euler, heun, flow_sde, cps, dance_sde
        'eta': 0.7,  # noise of the stochastic ones
        'trained_steps': 0,  # first ones that flow_grpo learns from; 0 is all
        'guidance': 1.0,  # classifier-free guidance; 1 is none
      },
      'training': {
        'updates_per_rollout': 2,
        'draws': 1,  # (σ, ε) pairs per sample and update
        'sigma': 'logit_normal',  # or uniform
        'microbatches': 1,
        'learning_rate': 3e-4,
        'warmup': 5,  # updates
        'weight_decay': 0.0,
        'clip_norm': 1.0,
        # Decay of averaged weights, 0 for none. They are what is evaluated: at
        # this rate the noise of the gradients holds the policy itself back.
        'ema': 0.98,
        # λ of reference + λ·(averaged − reference), what is judged and drawn
        # with. Above 1: more success for more divergence, without training.
        'extrapolation': 1.25,
      },
      'method': {
        'name': 'adrpo',
        **{name: parameters(name) for name in METHODS},
      },
      'reward': {
        # Of the sum that is trained on; the scale of each of its terms: raw,
        # standard (of a step), group (of a prompt) or fixed.
        'weights': dict.fromkeys(REWARDS, 0.0) | {'shapes': 1.0},
        'normalize': dict.fromkeys(REWARDS, 'raw'),
        'hold_out': (),  # names of rewards that are measured, not trained on
        'parts': 1,  # of a step's prompts: one judged while the next is drawn
        # (1 − w)·[share of the facts that hold] + w·[all of them hold]
        'shapes': {'success_weight': 0.5},
        'clip_score': {'path': 'openai/clip-vit-large-patch14'},
        'pick_score': {'path': '', 'divided_by': 1.0},
        'hps_v2': {'path': '', 'base': ''},
        'aesthetic': {'path': 'openai/clip-vit-large-patch14', 'head': ''},
        'remote': {'url': '', 'timeout': 30.0, 'token_from': ''},
        'invalid_limit': 0.1,  # stop when more of a step's samples are invalid
      },
      'eval': {
        'prompts': 128,  # held out, balanced over the categories
        'samples': 4,  # of each
        'batch': 32,  # prompts at a time
        'every': 100,  # steps; 0 for the first and last only
      },
      'checkpoint': {'every': 50, 'keep': 2},
      'mesh': {'data': -1, 'fsdp': 1, 'tensor': 1},
      # Mirrors of metrics.jsonl. A W&B project also gets evaluations and
      # samples; '' is none.
      'log': {'tensorboard': True, 'wandb': {'project': ''}},
      'compare': {},  # what a method's runs of a comparison change, by its name
      'pretrain': {
        'pictures': 100 * 1024,
        'corruption': 0.25,  # share of pictures under a caption that is wrong
        'shares': {
          'single': 0.2,
          'binding': 0.2,
          'relation': 0.2,
          'counting': 0.12,
          'style': 0.13,
          'composition': 0.15,
        },
        'kl': 1e-4,
        'autoencoder': _stage(1000, 32, 4e-3, ema=0.99),
        'flow': _stage(3600, 128, 1.5e-3),
        # Guidance distilled into the model: of no steps, left to the sampler.
        'guidance': 2.0,
        'distillation': _stage(0, 128, 5e-4, ema=0.99),
        'decoder': _stage(600, 32, 2e-3, ema=0.99),  # its encoder stays
      },
    }
  )
  # A clip below β₀ is sufficient for stability, and here it holds the run back:
  # advantages of ±0.5 pass. β₀ = 0.02 diverges within 100 steps. See README.
  config.method.adrpo.beta0 = 0.05
  config.method.adrpo.clip_ratio = 10.0
  config.method.adrpo.allow_unstable = True
  # The best of two or three trials of each, benchmarks/results/t2i_trials.md.
  config.method.fixed_w2.update(beta=0.05, clip_ratio=10.0)
  config.method.ram.update(beta=0.05, clip_ratio=10.0)
  config.method.awm.update(beta=0.05, ema_weight=0.05)
  config.method.orw_cfm_w2.update(tau=4.0, alpha=30.0)
  config.method.flow_grpo.clip_range = 1e-3
  config.method.dpo.pairs = ''  # your own; '' draws them from the base
  config.update(PRESETS[preset])
  return config


def _stage(
  steps: int, batch: int, learning_rate: float, ema: float = 0.999
) -> dict[str, float]:
  return {
    'steps': steps,
    'batch': batch,
    'learning_rate': learning_rate,
    'ema': ema,
    'save_every': 200,
  }


# Published for ADRPO on SD3: the base (SD3 medium, 2B), LoRA, a CLIP score,
# three seeds. Not published, and our choice after Flow-GRPO's SD3.5 recipe
# (arXiv 2505.05470: rank 32, alpha 64, 512², ten steps, guidance 4.5, 3e-4,
# weight decay 1e-4, clip 1.0): all the rest. β₀ = 1 is the advice of the
# authors' earlier ORW-CFM-W2; the clip of 0.9·β₀ keeps a fixed point.
SD3 = {
  'world': '',
  'steps': 1000,
  'model': {
    'family': 'sd3',
    'lora_rank': 32,
    'lora_alpha': 64.0,
    'dtype': 'bfloat16',
    'param_dtype': 'bfloat16',
    'unroll': False,
    'kept': 'nothing',
    'decode_parts': 16,
  },
  'prompts': {'per_step': 32, 'samples': 16},
  'sampler': {'steps': 10, 'shift': 3.0, 'guidance': 4.5},
  'training': {
    'updates_per_rollout': 1,
    'sigma': 'uniform',
    'microbatches': 2,
    'learning_rate': 3e-4,
    'warmup': 10,
    'weight_decay': 1e-4,
    'ema': 0.9,
    'extrapolation': 1.0,
  },
  'method': {
    'adrpo': {'beta0': 1.0, 'clip_ratio': 0.9, 'allow_unstable': False}
  },
  # A CLIP score differs by points within a prompt; β₀ is in units of that.
  'reward': {
    'weights': {'shapes': 0.0, 'clip_score': 1.0},
    'normalize': {'clip_score': 'standard'},
  },
  'eval': {'prompts': 64, 'samples': 4, 'batch': 16, 'every': 100},
  'checkpoint': {'every': 50},
  'mesh': {'data': -1, 'fsdp': 4},
}

PRESETS = {
  'default': {},
  'sd3_medium': SD3 | {'model': SD3['model'] | {'sizes': 'sd3_medium'}},
  'sd35_medium': SD3 | {'model': SD3['model'] | {'sizes': 'sd35_medium'}},
  # A random model of the same layout: every step of the path, on a CPU.
  'sd3_tiny': SD3
  | {
    'steps': 2,
    'model': SD3['model']
    | {
      'family': 'sd3_tiny',
      'dtype': 'float32',
      'param_dtype': 'float32',
      'lora_rank': 2,
      'lora_alpha': 4.0,
      'pixels': 64,
      't5_length': 16,
      'decode_parts': 1,
    },
    'prompts': {
      'source': EXAMPLES,
      'held_out': EXAMPLES,
      'per_step': 4,
      'samples': 2,
    },
    'sampler': {'steps': 2, 'shift': 3.0, 'guidance': 4.5},
    'reward': {
      'weights': {'shapes': 0.0, 'clip_score': 1.0},
      'clip_score': {'path': str(cache_folder() / 'clip_tiny')},
    },
    'eval': {'prompts': 8, 'samples': 2, 'batch': 4, 'every': 0},
    'checkpoint': {'every': 1},
    'log': {'tensorboard': False},
    'mesh': {'data': -1, 'fsdp': 1},
  },
  # One run of a comparison: two minutes on two cores.
  'compare': {
    'steps': 60,
    'eval': {'every': 0},
    'checkpoint': {'every': 60},
    'log': {'tensorboard': False},
    'compare': {
      'adrpo': {
        'method': {'adrpo': {'clip_ratio': 0.9, 'policy_clip_ratio': 10.0}}
      },
      'fixed_w2': {'training': {'sigma': 'uniform'}},
      'ram': {'training': {'sigma': 'uniform'}},
      'dpo': {'training': {'sigma': 'uniform'}},
      'orw_cfm_w2': {'training': {'learning_rate': 5e-5}},
      'raft': {'training': {'learning_rate': 1.5e-5}},
      'rwr': {'training': {'learning_rate': 1.5e-5}},
      'flow_grpo': {'sampler': {'trained_steps': 2}},
    },
  },
  # What the papers publish; the rest of a method at its own defaults.
  'paper': {'method': {name: parameters(name, 'paper') for name in METHODS}},
  # Every stage once or twice, in seconds: for tests and for a first look.
  'debug': {
    'steps': 2,
    'prompts': {'per_step': 8, 'samples': 4},
    'sampler': {'steps': 2},
    'eval': {'prompts': 16, 'samples': 2, 'batch': 8, 'every': 0},
    'checkpoint': {'every': 1},
    'log': {'tensorboard': False},
    'pretrain': {
      'pictures': 1024,
      'autoencoder': {'steps': 4, 'batch': 4},
      'flow': {'steps': 4, 'batch': 4},
      'distillation': {'steps': 4, 'batch': 4},
      'decoder': {'steps': 4, 'batch': 4},
    },
  },
}
