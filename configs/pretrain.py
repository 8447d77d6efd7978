"""Pre-training of the base checkpoints of the embedded worlds.

  python -m adrpo_jax.main --config=configs/pretrain.py:shapes \\
    --mode=pretrain --workdir=DIR
  python -m adrpo_jax.main --config=configs/pretrain.py:sort \\
    --mode=pretrain --workdir=DIR
    :sort_or_pass  the base of the task with a cheap way out
    :tones         the base that hears, of the default of configs/audio.py
    :debug         the base of shapes, every stage for a few steps

The base is then in DIR/base. All values are plain; only `adrpo_jax/builders/`
reads them.
"""

from typing import Any

from ml_collections import ConfigDict

from adrpo_jax.errors import unknown_name


def get_config(preset: str = 'shapes') -> ConfigDict:
  """Returns the config of a preset: shapes, sort, tones, debug, ..."""
  if preset not in PRESETS:
    raise unknown_name(preset, PRESETS, 'preset')
  config = ConfigDict()
  for update in PRESETS[preset]:
    config.update(update)
  return config


def _stage(
  steps: int, batch_size: int, learning_rate: float, ema_decay: float = 0.999
) -> dict[str, Any]:
  return {
    'steps': steps,
    'batch_size': batch_size,
    'learning_rate': learning_rate,
    'ema_decay': ema_decay,
    'save_every': 200,
  }


SHAPES = {
  'seed': 0,  # of the initial weights and the data
  'world': 'shapes',  # a world of images
  'model': {
    'family': 'world',  # of the base
    'path': '',  # a base to train further, '' for a new one
  },
  'pretrain': {
    'images': 100 * 1024,  # rendered once, before the first stage
    'corruption': 0.25,  # share of images with the caption of another image
    # Category of prompts -> share of the images.
    'shares': {
      'single': 0.2,
      'binding': 0.2,
      'relation': 0.2,
      'counting': 0.12,
      'style': 0.13,
      'composition': 0.15,
    },
    # Sizes of the base; four layers of width 4 · 32 have 2.3M weights.
    'transformer': {
      'num_layers': 4,
      'num_attention_heads': 4,
      'attention_head_dim': 32,
    },
    'kl': 1e-4,  # weight of the KL in the loss of the autoencoder
    # A stage: steps, images of a step, learning rate, decay of the averaged
    # weights, steps between two saves, where 0 saves after the last alone.
    'autoencoder': _stage(1000, 32, 4e-3, ema_decay=0.99),
    # A stage as above, of prompts alone: which object a word is about, and
    # where that one stands. Without it the flow does not tell left from right.
    'text_encoder': _stage(600, 128, 1e-3, ema_decay=0.99),
    'flow': _stage(3600, 128, 1.5e-3),  # the transformer; a stage as above
    # Of the noise levels of flow and distillation, as of SD3's sampler. At 1
    # few of them are so high that the place of an object is still open.
    'shift': 3.0,
    # Classifier-free guidance that is distilled into the transformer. With no
    # steps of distillation it is left to the sampler.
    'guidance': 2.0,
    'distillation': _stage(0, 128, 5e-4, ema_decay=0.99),  # a stage as above
    # A stage as above, of the decoder alone: the encoder does not change.
    'decoder': _stage(600, 32, 2e-3, ema_decay=0.99),
  },
}

SORT = {
  'seed': 0,  # of the initial weights, the data and the measurement
  'world': 'sort',  # sort, sort_or_pass
  'model': {'family': 'text_world'},  # of the base
  'pretrain': {
    'steps': 200,  # more steps leave less for RL to improve
    'batch_size': 64,  # pairs of prompt and answer of a step
    'learning_rate': 3e-3,  # the highest, after the warm-up
    'ema_decay': 0.99,  # decay of the averaged weights, which are saved
    'save_every': 250,  # steps; 0 saves after the last alone
    'samples': 1500,  # completions that measure the ability of the base
    'max_completion_length': 18,  # tokens, with the end token
  },
}

SORT_OR_PASS = {'world': 'sort_or_pass', 'pretrain': {'steps': 300}}

TONES = {
  'seed': 0,  # of the initial weights, the data and the measurement
  'world': 'tones',  # a world of clips
  'model': {'family': 'audio_world'},  # of the base
  'pretrain': {
    'solved_steps': 2500,  # on right answers, which teach the rules
    'steps': 200,  # then, on answers of which a share is wrong
    'batch_size': 64,  # examples of a step, each a clip with a question
    'learning_rate': 2.5e-3,  # the highest, after the warm-up
    'ema_decay': 0.98,  # decay of the averaged weights, which are saved
    'save_every': 100,  # steps; 0 saves after the last alone
    'samples': 600,  # completions that measure the ability of the base
    'max_completion_length': 11,  # tokens, with the end token
  },
}

# Every stage for a few steps: for tests and for a first look.
DEBUG = {
  'pretrain': {
    'images': 1024,
    'autoencoder': {'steps': 4, 'batch_size': 4},
    'text_encoder': {'steps': 4, 'batch_size': 4},
    'flow': {'steps': 4, 'batch_size': 4},
    'distillation': {'steps': 4, 'batch_size': 4},
    'decoder': {'steps': 4, 'batch_size': 4},
  },
}

PRESETS = {
  'shapes': (SHAPES,),
  'sort': (SORT,),
  'sort_or_pass': (SORT, SORT_OR_PASS),
  'tones': (TONES,),
  'debug': (SHAPES, DEBUG),
}
