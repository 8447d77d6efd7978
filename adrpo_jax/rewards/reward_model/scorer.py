"""The scorer of a reward model's folder: rows of tokens -> their scores.

config.json          of a Llama, Qwen2 or Qwen3 `...ForSequenceClassification`
model.safetensors    with `score.weight` [1, D], or a sharded set

Rows are padded on the right to one of a few lengths, so that few programs are
compiled, and sharded over the mesh.
"""

from collections.abc import Callable, Sequence
import functools
import math
import pathlib

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import numpy as np

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.chat_tokenizer import bucket
from adrpo_jax.models.decoder.decoder import Scorer, position_ids
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.files.tokenizers import (
  check_token_ids,
  load_tokenizer,
  token_ids,
)
from adrpo_jax.sharding import (
  BATCH_AXES,
  abstract,
  batch_sharding,
  put_rows,
  replicated,
  tree_shardings,
)
from adrpo_jax.types import Array, PyTree

MIN_LENGTH = 64  # tokens of the shortest program
DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}
# By default a TPU multiplies float32 at a lower precision.
PRECISION = {'float32': 'float32', 'bfloat16': None}

Score = Callable[[Sequence[np.ndarray]], np.ndarray]


def make_scorer(
  folder: pathlib.Path,
  mesh: Mesh,
  *,
  max_length: int,
  batch_size: int,
  dtype: str,
) -> Score:
  """Makes (token ids of N rows, 1 to `max_length` each) -> [N] float32.

  Every process calls it with the same rows, and gets all scores.

  Args:
    folder: of the reward model.
    mesh: the parameters are sharded over it by the rules of `sharding`.
    max_length: the largest number of tokens of a row.
    batch_size: rows scored at once, on all devices together; rounded up to a
      multiple of data × fsdp.
    dtype: of parameters and activations, 'float32' or 'bfloat16'.

  Raises:
    InputError: no such model, no score head, an unknown dtype, or a tokenizer
      or texts that the model is not made for.
  """
  if dtype not in DTYPES:
    raise unknown_name(dtype, DTYPES, 'dtype of a reward model')
  model = decoder_folder.read(folder)
  check_head(folder)
  check_texts(model, max_length)
  split = batch_sharding(mesh)
  module = Scorer(
    model.config,
    Compute(
      DTYPES[dtype],
      scan_layers=True,
      constrain=lambda x: jax.lax.with_sharding_constraint(x, split),
    ),
  )
  params = decoder_folder.load_scorer(
    model,
    DTYPES[dtype],
    lambda shapes: abstract(shapes, tree_shardings(shapes, mesh)),
  )
  shards = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
  rows = -(-batch_size // shards) * shards

  @functools.partial(jax.jit, out_shardings=replicated(mesh))
  def program(params: PyTree, tokens: Array, mask: Array) -> Array:
    with jax.default_matmul_precision(PRECISION[dtype]):
      return module.apply(params, tokens, position_ids(mask), mask)

  def score(tokens: Sequence[np.ndarray]) -> np.ndarray:
    # Rows of similar length share a batch, so that there is little padding.
    order = np.argsort([len(ids) for ids in tokens], kind='stable')
    scores = np.zeros(len(tokens), np.float32)
    pending = []
    for start in range(0, len(order), rows):
      places = order[start : start + rows]
      batch = right_padded([tokens[i] for i in places], rows, max_length)
      pending.append((places, program(params, *put_rows(mesh, batch))))
    for places, result in pending:
      scores[places] = np.asarray(result)[: len(places)]
    return scores

  return score


def right_padded(
  ragged: Sequence[np.ndarray], rows: int, max_length: int
) -> tuple[np.ndarray, np.ndarray]:
  """Tokens [rows, L] int32 and mask [rows, L]; L is a bucket.

  Missing rows have the one token 0, so that no row of attention is empty.
  """
  length = bucket(max(map(len, ragged)), max_length, MIN_LENGTH)
  tokens = np.zeros((rows, length), np.int32)
  mask = np.zeros((rows, length), bool)
  mask[:, 0] = True
  for i, ids in enumerate(ragged):
    tokens[i, : len(ids)], mask[i, : len(ids)] = ids, True
  return tokens, mask


def check_texts(model: decoder_folder.DecoderFolder, max_length: int) -> None:
  """Checks that the model has rows for its tokens and room for the texts.

  Raises:
    InputError: a token has no row, or texts may be too long for the model.
  """
  ids = token_ids(load_tokenizer(model.path))
  check_token_ids(ids, model.config.vocab_size, model.path)
  if max_length > model.longest:
    raise InputError(
      f'Expected max_length of at most {model.longest}, the '
      f'{decoder_folder.LONGEST} of the reward model in {model.path}, got '
      f'{max_length}. Lower --config.reward.reward_model.max_length; longer '
      'conversations are invalid.'
    )


def check_head(folder: pathlib.Path) -> None:
  """Checks that the weights have a score head with one output.

  Raises:
    InputError: they have none, or one with several classes.
  """
  with tensor_files(folder, ('model',)) as files:
    shape = files.shapes.get('score.weight')
    count = len(files.shapes)
  if shape is None:
    raise InputError(
      f"Expected a reward model in {folder}: a '...ForSequenceClassification' "
      f"with one label, whose weights hold 'score.weight' [1, D]. None of its "
      f'{count} tensors has that name, so it is a language model without a '
      'score head. Give the folder of a reward model, such as '
      'Skywork/Skywork-Reward-V2-Qwen3-0.6B; an untrained head has no '
      'meaning.'
    )
  if len(shape) != 2 or shape[0] != 1:
    raise InputError(
      f"Expected 'score.weight' [1, D] in {folder}, one number for each "
      f'answer, got {list(shape)}: a classifier of {shape[0]} labels is no '
      'reward model.'
    )
