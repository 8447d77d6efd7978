"""Writes a trained thinker: a folder of the thinker alone, or adapters.

config.json          the thinker's fields, qwen2_5_omni_thinker
model.safetensors    what was trained, and the rest of the source unchanged

`Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained` loads the folder,
and `peft.PeftModel.from_pretrained` puts the adapters on that class.
"""

from collections.abc import Iterable, Mapping
import pathlib
import re
from typing import Any

import numpy as np

from adrpo_jax.models.audio.weight_table import tower_rows
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.weight_table import decoder_rows
from adrpo_jax.models.files import lora_files, weight_table
from adrpo_jax.models.files.weight_table import Row
from adrpo_jax.models.omni.folder import THINKER, OmniFolder, opened
from adrpo_jax.types import PyTree

CLASS = 'Qwen2_5OmniThinkerForConditionalGeneration'
COPIED = r'^(audio_tower|visual)\.'
# PEFT searches names in the whole thinker, whose towers have a q_proj as well.
LAYERS = r'(.*\.)?(language_model|model)\.layers\.\d+\.(self_attn|mlp)'


def save(
  folder: pathlib.Path,
  model: OmniFolder,
  params: PyTree,
  tower: PyTree | None = None,
) -> pathlib.Path:
  """Writes config.json and model.safetensors of the thinker alone.

  Args:
    folder: created if it is missing.
    model: the folder that the parameters come from. What they do not hold is
      copied from it: the vision tower, and the audio tower if it is frozen.
    params: {'params': ...} of the `Decoder`, in any float dtype.
    tower: {'params': ...} of a trained `AudioTower`; None for a frozen one.

  Returns:
    The path of the weights.
  """
  tensors = weight_table.to_hf(decoder_rows(), {'params': params['params']})
  if tower is not None:
    tensors |= weight_table.to_hf(tower_rows(), tower)
  return write(
    folder, model.decoder.fields, tensors, _copied(model.decoder.path, tensors)
  )


def write(
  folder: pathlib.Path,
  fields: Mapping[str, Any],
  tensors: Mapping[str, np.ndarray],
  copied: Mapping[str, np.ndarray],
) -> pathlib.Path:
  """Writes the tensors of a thinker, with its fields, and those of others."""
  folder.mkdir(parents=True, exist_ok=True)
  named = {**fields, 'model_type': THINKER, 'architectures': [CLASS]}
  return decoder_folder.write(folder, named, {**copied, **tensors})


def adapter_rows() -> tuple[Row, ...]:
  """The table of the decoder in the memory of transformers 5.

  The names of an adapter's file are those of modules, not of a file of weights.
  """
  return tuple(
    row._replace(
      theirs=re.sub(r'^model\.', 'model.language_model.', row.theirs)
    )
    for row in decoder_rows()
  )


def save_adapters(
  folder: pathlib.Path,
  adapters: Mapping[str, Any],
  scale: float,
  base: str = '',
  revision: str | None = None,
) -> pathlib.Path:
  """Writes adapters of the decoder for PEFT; see `lora_files.save_peft`."""
  lora_files.save_peft(
    folder,
    adapter_rows(),
    adapters,
    scale,
    base,
    revision,
    target_modules=target_modules,
  )
  return folder / f'{lora_files.STEMS[1]}.safetensors'


def target_modules(modules: Iterable[str]) -> str:
  """A pattern of the decoder's modules with these last names, and no others."""
  return rf'{LAYERS}\.({"|".join(lora_files.last_names(modules))})'


def _copied(
  source: pathlib.Path, tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """Reads the towers' tensors of a folder that are not among `tensors`."""
  with opened(source) as files:
    names = [n for n in files.shapes if re.search(COPIED, n)]
    return {name: files.read(name) for name in names if name not in tensors}
