"""The step of `text_config` by TRL's GRPOTrainer, on random weights."""

from collections.abc import Callable
import pathlib
import statistics
from typing import Any

from ml_collections import ConfigDict
import torch
import transformers

from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import DecoderConfig
from adrpo_jax.models.tiny import qwen
from adrpo_jax.rewards.text.form import regex_format
from benchmarks import timing, trl_step
from benchmarks.device.settings import BETA

PATTERN = '(?s).*[aeiou].*'


def measure(
  config: ConfigDict,
  sizes: DecoderConfig,
  folder: pathlib.Path,
  repeats: int,
  limit: Callable[[], float],
  report: Callable[[dict[str, Any]], Any],
) -> None:
  """Reports median seconds and peak memory after every step.

  `update` is what a step takes beside the generation: rewards,
  log-probabilities of policy and reference, gradients, AdamW.
  """
  write_model(folder, sizes, config.model.dtype)
  bf16 = config.model.dtype == 'bfloat16'
  length = config.prompts.max_prompt_length
  cuda = torch.cuda.is_available()
  device = torch.cuda.get_device_name() if cuda else 'cpu'

  def report_medians(steps: list[timing.Seconds]) -> None:
    seconds = steps[timing.WARM_UP :]
    if not seconds:
      return
    medians = {
      'rollout': statistics.median(s['rollout'] for s in seconds),
      'update': statistics.median(s['step'] - s['rollout'] for s in seconds),
      'step': statistics.median(s['step'] for s in seconds),
    }
    peak = round(torch.cuda.max_memory_allocated() / 2**20) if cuda else None
    report(
      {'device': device}
      | {name: round(value, 4) for name, value in medians.items()}
      | {'steps': len(seconds), 'peak_mib': peak or timing.host_peak_mib()}
    )

  trl_step.run(
    str(folder),
    trl_step.Work(
      # The tokenizer is one of bytes.
      [
        f'{i:03d}'.ljust(length, '.')
        for i in range(config.prompts.prompts_per_step)
      ],
      config.prompts.group_size,
      config.sampler.max_completion_length,
      repeats,
    ),
    regex_format(PATTERN),
    limit=limit,
    report=report_medians,
    beta=BETA,
    learning_rate=1e-6,
    use_cpu=not cuda,
    bf16=bf16,
    model_init_kwargs={'dtype': config.model.dtype},
  )


def write_model(folder: pathlib.Path, sizes: DecoderConfig, dtype: str) -> None:
  """Random weights and a tokenizer of bytes, in the layout of transformers."""
  qwen.write_tokenizer(folder)
  fields = decoder_folder.config_fields(sizes)
  kind = transformers.CONFIG_MAPPING[fields['model_type']]
  with torch.device('cuda' if torch.cuda.is_available() else 'cpu'):
    model = transformers.AutoModelForCausalLM.from_config(
      kind(**fields), dtype=getattr(torch, dtype)
    )
  model.save_pretrained(folder)
