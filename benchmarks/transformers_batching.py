"""The rollout of `continuous_batching.py` by transformers, in two ways.

`generate` waits for the longest completion of a batch; `generate_batch` is the
continuous batching of transformers, whose rows take the next sample. Weights
are random and of the same sizes, prompts and ends are the same, in float32 and
with SDPA. On a CPU transformers has no kernel for paged attention.
"""

from collections.abc import Callable, Sequence
import math
import time
from typing import Any

import numpy as np
import torch
import transformers
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import DecoderConfig

PAGE = 256  # tokens, transformers' default
# () -> the number of tokens of each completion
Rollout = Callable[[], list[int]]


def rollouts(
  sizes: DecoderConfig,
  tokens: np.ndarray,
  mask: np.ndarray,
  *,
  samples: int,
  longest: int,
  stops: Sequence[int],
) -> dict[str, Rollout]:
  """Returns name -> a rollout of G samples of each prompt.

  Args:
    sizes: of the model.
    tokens: [P, L], padded on the left.
    mask: [P, L], False for padding.
    samples: G.
    longest: T, the tokens of a completion at most.
    stops: tokens that end one; none if it is empty.
  """
  fields = decoder_folder.config_fields(sizes)
  kind = transformers.CONFIG_MAPPING[fields['model_type']]
  torch.manual_seed(0)
  model = transformers.AutoModelForCausalLM.from_config(
    kind(**fields), dtype=torch.float32, attn_implementation='sdpa'
  ).eval()
  chosen = transformers.GenerationConfig(
    max_new_tokens=longest,
    do_sample=True,
    top_k=0,
    top_p=1.0,
    eos_token_id=list(stops) or None,
    pad_token_id=0,
  )
  rows = len(tokens) * samples
  pages = math.ceil((tokens.shape[1] + longest) / PAGE) + 1
  batching = ContinuousBatchingConfig(
    page_size=PAGE,
    num_blocks=rows * pages,
    max_batch_tokens=max(rows, tokens.size),
    max_requests_per_batch=rows,
    use_cuda_graph=False,
  )
  prompts = [
    row[real].tolist()
    for row, real in zip(tokens, mask, strict=True)
    for _ in range(samples)
  ]
  ids, attended = (
    torch.as_tensor(np.repeat(np.asarray(array), samples, 0))
    for array in (tokens, mask)
  )

  def waiting() -> list[int]:
    with torch.inference_mode():
      out = model.generate(
        ids, attention_mask=attended.long(), generation_config=chosen
      )
    return [_length(row, stops) for row in out[:, ids.shape[1] :].tolist()]

  def in_turns() -> list[int]:
    out: dict[str, Any] = model.generate_batch(
      prompts,
      generation_config=chosen,
      continuous_batching_config=batching,
      warmup=False,
    )
    return [len(one.generated_tokens) for one in out.values()]

  return {
    'transformers, generate': waiting,
    'transformers, generate_batch': in_turns,
  }


def timed(rollout: Rollout) -> tuple[float, int]:
  """Returns the seconds of one rollout, and its tokens."""
  since = time.perf_counter()
  count = sum(rollout())
  return time.perf_counter() - since, count


def _length(row: list[int], stops: Sequence[int]) -> int:
  ends = [place for place, token in enumerate(row) if token in stops]
  return min(ends, default=len(row) - 1) + 1
