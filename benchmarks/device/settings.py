"""How much work the parts do: at full size, and in a rehearsal on a CPU."""

import pathlib
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from configs import llm, t2i

BETA = 0.04  # of GRPO, on both sides


class Request(NamedTuple):
  """What is asked of a part.

  limit:    seconds
  rehearse: tiny sizes, on a CPU
  smollm2:  the folder of `benchmarks/real_model/make_folder.py`
  traces:   a folder for traces of a step of ours, None for none
  """

  limit: float
  rehearse: bool
  smollm2: pathlib.Path | None = None
  traces: pathlib.Path | None = None


class Settings(NamedTuple):
  """What a side of a part is told.

  rehearse: tiny sizes
  guidance: of flow models; 1 is none
  repeats:  steps to time
  limit:    seconds from the start of the process, after which no step begins
  trace:    a folder for the trace of one more step, None for none
  """

  rehearse: bool
  guidance: float
  repeats: int
  limit: float
  trace: pathlib.Path | None = None


def flow_config(settings: Settings, folder: pathlib.Path) -> ConfigDict:
  """The preset of SD3 medium: LoRA at 512², 16 samples a step, one device.

  A rehearsal reads the sizes from `folder`, which holds a tiny model.
  """
  config = t2i.get_config('sd3_medium')
  guided = settings.guidance != 1
  config.update(
    {
      'prompts': {'prompts_per_step': 4, 'group_size': 4},
      'sampler': {'steps': 10, 'guidance_scale': settings.guidance},
      'training': {'guidance_scale': settings.guidance},
      'eval': {'batch_size': 4},
      'mesh': {'fsdp': 1},
      'compute': {
        'remat_policy': 'everything',  # The peer recomputes nothing either.
        # Gradients of eight rows at a time; guidance makes two of a sample.
        'microbatches': 4 if guided else 2,
        'decode_chunks': 4,
      },
    }
  )
  if settings.rehearse:
    config.update(
      {
        'model': {
          'path': str(folder),
          'dtype': 'float32',
          'param_dtype': 'float32',
          'lora_rank': 2,
          'resolution': 64,
          't5_length': 16,
        },
        'sampler': {'steps': 2},
        # The tower of clip_score is large; this reward only decodes.
        'reward': {'weights': {'clip_score': 0.0, 'jpeg_compressibility': 1.0}},
      }
    )
  return config


def text_config(settings: Settings, folder: pathlib.Path) -> ConfigDict:
  """The preset of Qwen3-0.6B: GRPO on every weight, 8 × 4 completions a step.

  A rehearsal reads the sizes from `folder`, which holds a tiny model.
  """
  config = llm.get_config('qwen3_0p6b')
  config.update(
    {
      'method': {'name': 'grpo', 'grpo': {'beta': BETA, 'kl': 'k3'}},
      'prompts': {
        'prompts_per_step': 8,
        'group_size': 4,
        'max_prompt_length': 128,
      },
      'sampler': {'max_completion_length': 256},
      'eval': {'batch_size': 8},
      'mesh': {'fsdp': 1},
      'compute': {
        'remat_policy': 'dots',
        'microbatches': 1,
        'reward_chunks': 1,
      },
    }
  )
  if settings.rehearse:
    config.update(
      {
        'model': {
          'path': str(folder),
          'dtype': 'float32',
          'param_dtype': 'float32',
        },
        'prompts': {
          'prompts_per_step': 2,
          'group_size': 2,
          'max_prompt_length': 32,
        },
        'sampler': {'max_completion_length': 8},
      }
    )
  return config


def work_of(config: ConfigDict) -> dict[str, Any]:
  """What a result says of the work behind it."""
  work = {
    'model': 'tiny' if config.model.path else config.model.architecture,
    'prompts': config.prompts.prompts_per_step,
    'samples_per_prompt': config.prompts.group_size,
    'dtype': config.model.dtype,
    'lora_rank': config.model.lora_rank,
    'remat_policy': config.compute.remat_policy,
    'microbatches': config.compute.microbatches,
  }
  if 'resolution' in config.model:
    return work | {
      'resolution': config.model.resolution,
      'solver_steps': config.sampler.steps,
      'guidance': config.sampler.guidance_scale,
    }
  return work | {
    'prompt_tokens': config.prompts.max_prompt_length,
    'completion_tokens': config.sampler.max_completion_length,
  }
