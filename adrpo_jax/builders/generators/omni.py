"""The thinker of Qwen2.5-Omni: from a folder, or as shapes alone.

The audio tower is part of the reference, and a constant beside the trained
parameters unless the config trains it. It runs in the programs of rollout and
update, once for each prompt.
"""

from functools import partial
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.generators.base import (
  Encode,
  Generator,
  Rows,
  make_compute,
  refuse_prompts,
  shard,
)
from adrpo_jax.builders.generators.decoder import companions
from adrpo_jax.builders.generators.language import make_language_generator
from adrpo_jax.builders.generators.language_folder import check_tokens
from adrpo_jax.builders.generators.omni_folder import Hearing, make_hearing
from adrpo_jax.data.clip_features import make_clip_reader
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.modalities.language import FeaturesOf, PromptFeatures
from adrpo_jax.models.audio import tower as audio_tower
from adrpo_jax.models.audio.prompts import audio_prompts, silenced
from adrpo_jax.models.audio.tower import (
  AudioTower,
  tokens_of,
)
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.chat_tokenizer import bucket
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.models.files.hub import lasting_name
from adrpo_jax.models.files.safetensors_trees import with_dtype
from adrpo_jax.models.omni import export
from adrpo_jax.models.omni import folder as omni_folder
from adrpo_jax.models.omni.architectures import ARCHITECTURES
from adrpo_jax.models.omni.folder import OmniFolder
from adrpo_jax.system.fingerprint import fingerprint
from adrpo_jax.types import ALL_ROWS, OwnRows, PyTree

TOWER = 'tower'  # the part of full parameters that hears
FRAMES = 100  # a second, of every release


def make_omni_generator(
  config: ConfigDict, mesh: jax.sharding.Mesh
) -> Generator:
  """A thinker from a folder of Qwen2.5-Omni, whole or of the thinker alone.

  Raises:
    InputError: a folder that is not of this kind, or whose parts do not belong
      together.
  """
  hearing = make_hearing(config)
  model, chat = hearing.model, hearing.tokenizer.chat
  check_tokens(chat, model.decoder)
  dtype, place = jnp.dtype(config.model.param_dtype), shard(mesh)
  tower = omni_folder.load_tower(model, dtype, place)
  return _generator(
    config,
    mesh,
    model,
    known=np.isin(np.arange(model.decoder.config.vocab_size), chat.token_ids),
    stops=chat.stop_ids,
    pad=chat.pad_id,
    encode=_encoder(hearing, config.prompts.max_prompt_length),
    reference={
      **omni_folder.load_decoder(model, dtype, place),
      TOWER: tower['params'],
    },
    identity=fingerprint([model.decoder.path]),
    chunks=hearing.chunks,
  )


def make_abstract_omni(
  config: ConfigDict, mesh: jax.sharding.Mesh
) -> Generator:
  """A thinker with shapes for weights, of the config's path or a release."""
  chunks: int
  if config.model.path:
    hearing = make_hearing(config)
    model, chunks = hearing.model, hearing.chunks
  else:
    sizes = lookup(ARCHITECTURES, config.model.architecture, 'model')
    longest = decoder_folder.KINDS['qwen2'].longest
    model = OmniFolder(
      decoder_folder.DecoderFolder(pathlib.Path(), sizes.decoder, {}, longest),
      sizes.tower,
      omni_folder.AudioIds(),
    )
    frames = int(config.audio.max_seconds * FRAMES)
    chunks = max(-(-frames // (2 * sizes.tower.n_window)), 1)
  dtype = jnp.dtype(config.model.param_dtype)
  decoder = decoder_folder.param_shapes(Decoder(model.decoder.config))
  tower = audio_tower.param_shapes(model.tower)
  return _generator(
    config,
    mesh,
    model,
    known=np.ones(model.decoder.config.vocab_size, bool),
    stops=(0,),
    pad=0,
    encode=refuse_prompts,
    reference=shard(mesh)(
      with_dtype({**decoder, TOWER: tower['params']}, dtype)
    ),
    identity='',
    chunks=chunks,
  )


def _generator(
  config: ConfigDict,
  mesh: jax.sharding.Mesh,
  model: OmniFolder,
  *,
  chunks: int,
  **parts: Any,
) -> Generator:
  window, bins = 2 * model.tower.n_window, model.tower.num_mel_bins
  length = config.prompts.max_prompt_length
  generator = make_language_generator(
    config,
    mesh,
    model.decoder,
    features_of=_features_of(
      AudioTower(model.tower, make_compute(config, mesh))
    ),
    further={
      'places': jax.ShapeDtypeStruct((length,), jnp.int32),
      'mel': jax.ShapeDtypeStruct((chunks, window, bins), jnp.float32),
      'frames': jax.ShapeDtypeStruct((), jnp.int32),
    },
    save=partial(_save, model, config.model.train_tower),
    save_adapters=partial(_save_adapters, model, config.model.path),
    **parts,
  )
  silent = {'silent_audio': silenced} if config.eval.silent_audio else {}
  return generator._replace(controls=silent)


def _features_of(tower: AudioTower) -> FeaturesOf:
  def features_of(params: PyTree, condition: PyTree) -> PromptFeatures:
    values = tower.apply(
      {'params': params[TOWER]}, condition['mel'], condition['frames']
    )
    return PromptFeatures(values, condition['places'])

  return features_of


def _encoder(hearing: Hearing, longest: int) -> Encode:
  tower, tokenizer = hearing.model.tower, hearing.tokenizer
  read = make_clip_reader(
    hearing.features,
    n_window=tower.n_window,
    chunks=lambda most: bucket(most, hearing.chunks, 1),
  )

  def encode(prompts: PromptSet) -> Rows:
    names = prompts.audio
    if names is None:
      raise InputError(
        'Expected a sound with each prompt, which this model answers about, '
        'got texts alone. Give --audio=FILE beside --prompt.'
      )
    texts = [tokenizer.encode(text) for text in prompts.texts]

    def rows(ids: np.ndarray, own: OwnRows = ALL_ROWS) -> PyTree:
      read_here = ids[own]
      others = {names[i] for i in ids} - {names[i] for i in read_here}
      most = max(map(hearing.frames, others), default=0)
      clips = read([names[i] for i in read_here], most)
      pairs = zip(read_here, tokens_of(clips.frames), strict=True)
      return audio_prompts(
        [texts[i].expanded(int(count)) for i, count in pairs],
        clips.mel,
        clips.frames,
        marker=hearing.model.ids.marker,
        pad=tokenizer.chat.pad_id,
        longest=longest,
      )

    return rows

  return encode


def _save(
  model: OmniFolder, trained: bool, full: PyTree, folder: pathlib.Path
) -> pathlib.Path:
  """A folder of the thinker alone, with the files of its tokenizer."""
  tower = {'params': full[TOWER]} if trained else None
  path = export.save(folder, model, full, tower)
  for file in companions(model.decoder.path):
    shutil.copyfile(file, folder / file.name)
  return path


def _save_adapters(
  model: OmniFolder,
  base: str,
  adapters: PyTree,
  scale: float,
  folder: pathlib.Path,
) -> pathlib.Path:
  source, revision = lasting_name(base, model.decoder.path)
  return export.save_adapters(folder, adapters, scale, source, revision)
