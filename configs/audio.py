"""Models that hear, by online RL: the tones world, the thinker of Qwen2.5-Omni.

  python -m adrpo_jax.main --config=configs/audio.py           the main job
  python -m adrpo_jax.main --config=configs/audio.py:debug     the whole path
  python -m adrpo_jax.compare --config=configs/audio.py:compare --seeds=3 ...
  python -m adrpo_jax.main --config=configs/audio.py:paper     as published

  python -m adrpo_jax.main --config=configs/audio.py:tiny_hf  the whole path of
                                                  a thinker, small, on a CPU
  python -m adrpo_jax.main --config=configs/audio.py:qwen2p5_omni_7b \\
    --config.model.path=DIR --config.prompts.source=FILE \\
    --config.prompts.eval_prompts=FILE --workdir=DIR          :qwen2p5_omni_3b

The keys are those of configs/llm.py, and those of HEARING. A preset is a list
of updates, applied in order. All values are plain; only `adrpo_jax/builders/`
reads them.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

from adrpo_jax.data.questions import THINKING
from adrpo_jax.errors import unknown_name

LLM = runpy.run_path(str(pathlib.Path(__file__).parent / 'llm.py'))


def get_config(preset: str = 'default') -> ConfigDict:
  """Returns the config of a preset: default, debug, tiny_hf, qwen*, ..."""
  if preset not in PRESETS:
    raise unknown_name(preset, PRESETS, 'preset')
  config = ConfigDict(LLM['MAIN'])
  shared = (LLM[name] for name in ('SETTINGS', 'METHOD_PARAMETERS', 'COMPUTE'))
  for update in (*shared, HEARING, *PRESETS[preset]):
    config.update(update)
  return config


HEARING = {
  'model': {
    # True trains the audio tower as well, False leaves it as it is. Only
    # without adapters.
    'train_tower': False,
  },
  'prompts': {
    'audio_column': '',  # of files of sound; '' for audio, audio_path, ...
    'choices_column': '',  # of options; '' for choices, multi_choice, options
    # The order of options in training: shuffled, by seed and prompt, or given.
    # Evaluations show them as given.
    'choices': 'shuffled',
    'instruction': THINKING,  # how to answer, behind the options
  },
  'audio': {'max_seconds': 30.0},  # of a sound; longer ones are refused
  'eval': {
    # Evaluations ask the same about silence as well, which tells hearing from
    # guessing by the text. It nearly doubles their price.
    'silent_audio': True,
  },
}

# The base of the tones world hears clips of 2.4 s: 120 frames, 30 tokens. The
# transcription gets better at the rate of language models, and more so at 1e-4.
WORLD = {
  'world': 'tones',
  'model': {'family': 'audio_world'},
  'prompts': {'max_prompt_length': 46, 'instruction': ''},
  'sampler': {'max_completion_length': 11},
  'reward': {'weights': {'sort': 0.0, 'tones': 1.0}},
  'audio': {'max_seconds': 2.4},
  # Prompts are four times as long as answers.
  'compute': {'shared_prefix': True},
}

# After the settings of R1-AQA and Ke-Omni-R, which train this model by GRPO:
# eight answers, 1 000 steps of rate 1e-6, the right option twice as heavy as
# the form (Ke-Omni-R), 256 tokens of an answer (R1-AQA). Batches and all of
# ADRPO but its β₀ − A are not published for audio, and our choice.
OMNI = {
  'world': '',
  'steps': 1000,
  'model': {'family': 'omni', 'dtype': 'bfloat16', 'param_dtype': 'bfloat16'},
  'prompts': {
    'max_prompt_length': 1024,  # 750 of them for 30 s of sound
    'prompts_per_step': 32,
    'group_size': 8,
  },
  'sampler': {'max_completion_length': 256},
  'training': {
    'updates_per_rollout': 1,
    'learning_rate': 1e-6,
    'warmup_steps': 10,
  },
  'reward': {
    'weights': {'sort': 0.0, 'choice_match': 2.0, 'regex_format': 1.0},
    'regex_format': {'pattern': 'think_answer'},
  },
  'eval': {
    'num_prompts': 256,
    'group_size': 2,
    'batch_size': 32,
    'every': 100,
    'silent_audio': False,
  },
  'checkpoint': {'every': 100},
  'mesh': {'data': -1, 'fsdp': 0},
  'compute': {
    'scan_layers': True,
    'remat_policy': 'nothing',
    'microbatches': 4,
    'reward_chunks': 2,
    'shared_prefix': True,  # Prompts are long beside answers.
  },
}

# A random thinker of the same layout, with twelve sounds that are made for it:
# every step of the path, on a CPU.
TINY_HF = {
  'steps': 2,
  'model': {
    'family': 'omni_tiny',
    'dtype': 'float32',
    'param_dtype': 'float32',
  },
  'prompts': {
    'max_prompt_length': 512,
    'prompts_per_step': 4,
    'group_size': 4,
  },
  'sampler': {'max_completion_length': 16},
  'training': {'learning_rate': 1e-3},
  'eval': {
    'num_prompts': 8,
    'group_size': 2,
    'batch_size': 4,
    'every': 0,
    'silent_audio': True,
  },
  'checkpoint': {'every': 1},
  'log': {'tensorboard': False},
  'mesh': {'fsdp': 1},
  'compute': {'microbatches': 2, 'reward_chunks': 1},
}

DEBUG, PAPER = LLM['DEBUG'], LLM['PAPER']

# The variants of language models in half of the steps, and A clipped at half
# of β₀ = 0.1, at β₀ and at twice β₀: only there can the weight be negative.
COMPARE = LLM['COMPARE'] | {
  'steps': 50,
  'compare': LLM['COMPARE']['compare']
  | {
    f'adrpo_clip_{name}': {
      'title': f'ADRPO, A clipped at {clip}',
      'method': {'name': 'adrpo', 'adrpo': {'clip': clip}},
    }
    for name, clip in (('half', 0.05), ('one', 0.1), ('two', 0.2))
  },
}

PRESETS = {
  'default': (WORLD,),
  'debug': (WORLD, DEBUG),
  'compare': (WORLD, COMPARE),
  'paper': (WORLD, PAPER),
  'qwen2p5_omni_7b': (OMNI, {'model': {'architecture': 'qwen2p5_omni_7b'}}),
  'qwen2p5_omni_3b': (OMNI, {'model': {'architecture': 'qwen2p5_omni_3b'}}),
  'tiny_hf': (OMNI, TINY_HF),
}
