"""The reward of a Bradley–Terry reward model, a decoder with a score head.

Threads on the host tokenize prompt and answer while the device works; the
device scores them when a step is finished. The difference of two scores is
the log-odds that one answer is preferred; their scale and origin are the
model's own. Bradley and Terry, `Rank Analysis of Incomplete Block Designs
<https://doi.org/10.2307/2334029>`_, 1952; Liu et al., `Skywork-Reward-V2
<https://arxiv.org/abs/2507.01352>`_, 2025.
"""

from collections.abc import Iterator, Sequence
import concurrent.futures
from typing import Any, NamedTuple

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.files import opened_files
from adrpo_jax.models.files.hub import local_folder
from adrpo_jax.rewards.host.numbers import gather_rows
from adrpo_jax.rewards.host.text_view import Decode, text_view
from adrpo_jax.rewards.host.transfer import Place, Sample, View, local_samples
from adrpo_jax.rewards.overlap import Stages
from adrpo_jax.rewards.protocol import Reward, check_invalid_share
from adrpo_jax.rewards.reward_model.chat_tokens import Encode, chat_tokens
from adrpo_jax.rewards.reward_model.scorer import Score, make_scorer
from adrpo_jax.rewards.text.protocol import TextPrompt
from adrpo_jax.sharding import make_mesh
from adrpo_jax.types import PromptBatch, PyTree, Scores


def reward_model(
  prompts: Sequence[TextPrompt],
  invalid_limit: float,
  decode: Decode,
  *,
  path: str,
  template: str = 'chat',
  max_length: int = 4096,
  batch_size: int = 16,
  dtype: str = 'float32',
  fsdp: int = 1,
  tensor: int = 1,
) -> Reward:
  """The score of a trained reward model, such as Skywork-Reward-V2-Qwen3.

  A conversation longer than `max_length` tokens is invalid, not truncated: its
  end decides whether an answer is right.

  Args:
    prompts: all prompts; their texts are judged, as a user would write them.
    invalid_limit: the largest share of invalid samples in a step.
    decode: token ids of the policy -> text.
    path: of the model: a folder, gs://..., or an id on the Hub.
    template: 'chat', by the model's own chat template; 'none' joins prompt and
      answer as they are.
    max_length: the largest number of tokens of prompt and answer.
    batch_size: answers scored at once, on all devices together.
    dtype: of parameters and activations, 'float32' or 'bfloat16'.
    fsdp: devices that share one copy of the parameters, as in `mesh.fsdp`.
    tensor: devices for tensor parallelism, as in `mesh.tensor`.

  Raises:
    InputError: no reward model there, or parameters that do not fit.
  """
  if max_length < 1 or batch_size < 1:
    raise InputError(
      'Expected max_length and batch_size of at least 1 of a reward model, got '
      f'{max_length} and {batch_size}.'
    )
  folder = local_folder(path, opened_files.DECODER)
  score = make_scorer(
    folder,
    make_mesh(-1, fsdp, tensor),
    max_length=max_length,
    batch_size=batch_size,
    dtype=dtype,
  )
  return overlapped_scores(
    chat_tokens(folder, template),
    score,
    prompts,
    text_view(decode),
    max_length=max_length,
    invalid_limit=invalid_limit,
  )


class _Tokens(NamedTuple):
  """The tokens of a sample; empty where it is not scored, with the reason."""

  ids: Sequence[int]
  reason: str = ''


class _Pending(NamedTuple):
  """Samples [P, G] whose tokens are being made."""

  shape: tuple[int, ...]
  tokens: list[tuple[Place, concurrent.futures.Future[_Tokens]]]


def overlapped_scores(
  encode: Encode,
  score: Score,
  prompts: Sequence[TextPrompt],
  view: View,
  *,
  max_length: int,
  invalid_limit: float,
  workers: int = 4,
) -> Stages:
  """A reward in two stages: threads make tokens, then all are scored together.

  Args:
    encode: (prompt, answer) -> token ids.
    score: rows of ids -> [N], see `make_scorer`.
    prompts: all prompts.
    view: of samples, as texts.
    max_length: the largest number of tokens of a row that is scored.
    invalid_limit: the largest share of invalid samples in a step.
    workers: threads.
  """
  pool = concurrent.futures.ThreadPoolExecutor(workers, 'reward-model')

  def tokens(sample: Sample) -> _Tokens:
    if not sample.viewed.usable():
      return _Tokens((), f'A sample was not usable: {view.fault}.')
    answer = sample.viewed.content()
    try:
      ids = encode(sample.record.text, answer)
    except Exception as error:  # A chat template is a program.
      return _Tokens((), f'It raised {type(error).__name__}: {error}.')
    if not 0 < len(ids) <= max_length:
      return _Tokens(
        (), f'A conversation has {len(ids)} tokens, not 1 to {max_length}.'
      )
    return _Tokens(ids)

  def begin(batch: PromptBatch, decoded: PyTree) -> _Pending:
    samples = local_samples(view, prompts, batch, decoded, 'reward_model')
    return _Pending(
      jax.tree.leaves(decoded)[0].shape[:2],
      [(sample.place, pool.submit(tokens, sample)) for sample in samples],
    )

  def finish(parts: Sequence[_Pending]) -> Scores:
    results = [future.result() for part in parts for _, future in part.tokens]
    table = _table(parts, max((len(one.ids) for one in results), default=0))
    valid = table[..., 0] > 0
    rewards = np.zeros(valid.shape, np.float32)
    if valid.any():
      rewards[valid] = score([row[1 : 1 + row[0]] for row in table[valid]])
    valid &= np.isfinite(rewards)
    check_invalid_share(
      float((~valid).mean()),
      limit=invalid_limit,
      name='The reward model',
      reason=next((one.reason for one in results if one.reason), ''),
    )
    return Scores(
      jnp.asarray(np.where(valid, rewards, 0)), jnp.asarray(valid), {}
    )

  return Stages(begin, finish)


def _table(parts: Sequence[_Pending], length: int) -> np.ndarray:
  """[P, G, 1 + L] int32 of all processes: the number of tokens, the tokens."""
  if jax.process_count() > 1:
    length = int(multihost_utils.process_allgather(np.int32(length)).max())
  none = np.zeros(1 + length, np.int32)

  def row(ids: Sequence[int]) -> np.ndarray:
    filled = none.copy()
    filled[: 1 + len(ids)] = [len(ids), *ids]
    return filled

  def rows(part: _Pending) -> Iterator[tuple[Place, Any]]:
    return ((place, row(future.result().ids)) for place, future in part.tokens)

  return gather_rows([(part.shape, rows(part)) for part in parts], none)
