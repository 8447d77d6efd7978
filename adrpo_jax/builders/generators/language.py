"""A decoder as a generator, with the sampler of a config."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
import pathlib
from types import MappingProxyType

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.builders.generators.base import (
  Encode,
  Generator,
  Materialize,
  for_a_loop,
  make_compute,
  split_by_rows,
)
from adrpo_jax.builders.generators.language_folder import (
  check_length,
)
from adrpo_jax.errors import InputError
from adrpo_jax.method.language_methods import LANGUAGE_METHODS
from adrpo_jax.method.record import Method
from adrpo_jax.modalities import language
from adrpo_jax.modalities.decoder_model import language_model
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder import weight_table as decoder_table
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.models.files import lora_files
from adrpo_jax.sampling import continuous_batching, decoding
from adrpo_jax.sampling.decoding import Answers
from adrpo_jax.sampling.token_distribution import (
  TokenDistribution,
  greedy,
  make_token_distribution,
)
from adrpo_jax.types import Modality, PyTree


def make_language_generator(
  config: ConfigDict,
  mesh: jax.sharding.Mesh,
  model: decoder_folder.DecoderFolder,
  *,
  known: np.ndarray,
  stops: Sequence[int],
  pad: int,
  encode: Encode,
  reference: PyTree,
  identity: str,
  save: Callable[[PyTree, pathlib.Path], pathlib.Path],
  save_adapters: Callable[[PyTree, float, pathlib.Path], pathlib.Path],
  features_of: language.FeaturesOf = language.no_features,
  further: Mapping[str, jax.ShapeDtypeStruct] = MappingProxyType({}),
) -> Generator:
  """Makes the generator of a decoder, which may read more than words.

  Args:
    config: its sampler, lengths and precision.
    mesh: where its arrays lie.
    model: the sizes of the decoder.
    known: [V] bool, see `language_model`.
    stops: tokens that end a completion.
    pad: the token behind the end.
    encode: see `Generator`.
    reference: {'params': ...} of the decoder, and what `features_of` reads.
    identity: see `Generator`.
    save: see there.
    save_adapters: see there.
    features_of: what stands in place of words in prompts.
    further: shapes of a condition besides tokens and mask.
  """
  check_length(config, model)
  functions = language_model(
    Decoder(model.config, make_compute(config, mesh)), known, features_of
  )
  settings = partial(
    language.LanguageSettings,
    model=functions,
    max_completion_length=config.sampler.max_completion_length,
    stops=stops,
    pad=pad,
    logits_chunk=config.compute.logits_chunk,
    shared_prefix=config.compute.shared_prefix,
    generate=_sampling_loop(config, mesh),
    gather=partial(for_a_loop, mesh, jnp.dtype(config.model.dtype)),
    constrain=partial(split_by_rows, mesh),
  )
  sampled = _distribution(
    config, config.sampler.temperature, config.prompts.group_size
  )

  def modality(method: Method, materialize: Materialize) -> Modality:
    return language.make_modality(
      method,
      settings(
        distribution=sampled,
        samples_per_prompt=config.prompts.group_size,
        materialize=materialize,
      ),
    )

  def evaluated(materialize: Materialize, samples: int) -> Modality:
    return language.make_modality(
      LANGUAGE_METHODS.make_method('grpo'),
      settings(
        distribution=_distribution(config, config.eval.temperature, samples),
        samples_per_prompt=samples,
        materialize=materialize,
      ),
    )

  length = config.prompts.max_prompt_length
  return Generator(
    modality=modality,
    drawn=modality,
    evaluated=evaluated,
    encode=encode,
    condition={
      'tokens': jax.ShapeDtypeStruct((length,), jnp.int32),
      'mask': jax.ShapeDtypeStruct((length,), jnp.bool_),
      **further,
    },
    frozen={'reference': reference},
    save=save,
    check_adapters=partial(
      lora_files.check_exportable, decoder_table.decoder_rows()
    ),
    save_adapters=save_adapters,
    identity=identity,
    id_limits={'tokens': model.config.vocab_size},
  )


def _sampling_loop(
  config: ConfigDict, mesh: jax.sharding.Mesh
) -> Callable[..., Answers]:
  """Makes the loop over tokens, of all samples at once or of some at a time."""
  rows = config.sampler.max_num_seqs
  shards = mesh.shape['data'] * mesh.shape['fsdp']
  if rows % shards:
    raise InputError(
      'Expected --config.sampler.max_num_seqs to be a multiple of mesh.data · '
      f'mesh.fsdp, {shards}, got {rows}. Each of these devices samples as many '
      'sequences at a time; 0 samples all at once.'
    )
  if not rows:
    return decoding.generate
  return partial(continuous_batching.generate, rows=rows, shards=shards)


def _distribution(
  config: ConfigDict, temperature: float, samples: int
) -> TokenDistribution:
  """Makes the choice of tokens: sampling, or greedy at a temperature of 0."""
  if temperature == 0:
    if samples > 1:
      raise InputError(
        'Expected a temperature above 0 for several samples of a prompt, which '
        f'would all be the same, got 0 and {samples} samples. Set one sample, '
        'or a temperature.'
      )
    return greedy()
  sampler = config.sampler
  try:
    return make_token_distribution(temperature, sampler.top_k, sampler.top_p)
  except ValueError as error:
    raise InputError(str(error)) from error
