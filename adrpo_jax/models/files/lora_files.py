"""Reads and writes adapters in the files of PEFT and diffusers.

  PREFIX.MODULE.lora_A.weight [r, in]    PREFIX.MODULE.lora_B.weight [out, r]

Files for diffusers have alpha/r folded into B: diffusers assumes alpha = r for
a file without metadata, so the scale cannot get lost. A folder for PEFT has
alpha in its config. Files of either origin can be read, with alpha in the
header (diffusers) or in adapter_config.json (PEFT).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import json
import os
import pathlib
import re
from typing import Any

from absl import logging
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.files.config_files import read_config, write_json
from adrpo_jax.models.files.peft_settings import PeftSettings, read_settings
from adrpo_jax.models.files.safetensors_trees import read_metadata, save_tree
from adrpo_jax.models.files.tensor_files import TensorFiles, tensor_files
from adrpo_jax.models.files.weight_table import LINEAR, Row, Source, sources
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import PyTree

FILE = 'pytorch_lora_weights.safetensors'  # the file that diffusers loads
STEMS = ('pytorch_lora_weights', 'adapter_model')
PEFT = 'base_model.model'  # PEFT's prefix of every module

_KEY = re.compile(r'(?P<module>.+)\.lora_(?P<part>[AB])(\.default)?\.weight')


def save(
  path: str | os.PathLike[str],
  rows: Sequence[Row],
  adapters: Mapping[str, Any],
  scale: float,
  prefix: str = 'transformer',
) -> None:
  """Writes adapters for `pipeline.load_lora_weights`, alpha folded into B.

  Args:
    path: the .safetensors file.
    rows: the weight table of the model that the adapters belong to.
    adapters: see `lora.init`.
    scale: alpha/r.
    prefix: the component of the pipeline; '' for none.
  """
  tensors = {}
  for ours, source in _sources(rows, adapters).items():
    down, up = (np.asarray(adapters[ours][part], np.float32) for part in 'ab')
    if not source.stacked:
      down, up = down[None], up[None]
    for name, a, b in zip(source.names, down, scale * up, strict=True):
      module = '.'.join([*([prefix] if prefix else []), _module(name)])
      tensors[f'{module}.lora_A.weight'] = a.T
      tensors[f'{module}.lora_B.weight'] = b.T
  save_tree(path, tensors, {'format': 'pt'})


def last_names(modules: Iterable[str]) -> list[str]:
  """Returns the last parts of the names of modules, as `target_modules`."""
  return sorted({name.split('.')[-1] for name in modules})


def save_peft(
  folder: pathlib.Path,
  rows: Sequence[Row],
  adapters: Mapping[str, Any],
  scale: float,
  base: str = '',
  revision: str | None = None,
  target_modules: Callable[[Iterable[str]], list[str] | str] = last_names,
) -> None:
  """Writes the adapters of a causal language model as a folder for PEFT.

  adapter_model.safetensors    A and B, without a scale
  adapter_config.json          ranks, and alphas that give the scale

  Args:
    folder: created if it is missing.
    rows: the weight table of the model.
    adapters: see `lora.init`; every layer of a stack has one.
    scale: alpha/r.
    base: name or absolute folder of the model, for `AutoPeftModel...`.
    revision: of the base on the Hub.
    target_modules: returns what selects modules with adapters, and no others:
      names, or a pattern. Last names alone select those of a tower as well.
  """
  folder.mkdir(parents=True, exist_ok=True)
  save(folder / f'{STEMS[1]}.safetensors', rows, adapters, 1.0, PEFT)
  ranks = {
    _module(name): adapters[ours]['a'].shape[-1]
    for ours, source in _sources(rows, adapters).items()
    for name in source.names
  }
  max_rank = max(ranks.values())
  others = {module: rank for module, rank in ranks.items() if rank < max_rank}
  settings = {
    'peft_type': 'LORA',
    'task_type': 'CAUSAL_LM',
    'base_model_name_or_path': base,
    'revision': revision,
    'r': max_rank,
    'lora_alpha': scale * max_rank,
    'target_modules': target_modules(ranks),
    'rank_pattern': others,
    'alpha_pattern': {name: scale * rank for name, rank in others.items()},
  }
  write_json(folder / 'adapter_config.json', settings)


def load(
  path: str | os.PathLike[str], rows: Sequence[Row], base: PyTree
) -> dict[str, dict[str, Any]]:
  """Reads adapters of any origin, for `lora.attach` with a scale of 1.

  Layers of a stack that the file lacks get adapters of zeros. Adapters of lower
  rank are padded with zeros.

  Args:
    path: a folder or a .safetensors file.
    rows: the weight table of the model.
    base: the model's parameters, or their shapes.

  Raises:
    InputError: the file has no adapter, one half of an adapter, an adapter of a
      module that the model lacks, or one of another shape.
  """
  kernels = {
    name: leaf
    for name, leaf in leaf_names(base).items()
    if name.endswith('/dense/kernel')
  }
  targets = {
    _module(theirs): (ours, i)
    for ours, source in sources(rows, kernels).items()
    for i, theirs in enumerate(source.names)
  }
  with tensor_files(path, STEMS) as files:
    pairs = _pairs(files)
    settings, left_out = _settings(pathlib.Path(path)), []
    loaded: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]] = {}
    for module, names in pairs.items():
      ours, layer = _target(module, targets, files.where)
      name = _without_prefix(module, targets) or module
      if not settings.adapts(name):
        left_out.append(name)
        continue
      a, b = (files.read(name).astype(np.float32).T for name in names)
      _check_shapes(module, a, b, kernels[ours].shape)
      strength = settings.strength(name, a.shape[1])
      loaded.setdefault(ours, {})[layer] = (a, strength * b)
  if left_out:
    logging.warning(
      '%s has adapters of %d modules that its target_modules leave out, as '
      'PEFT does: %s',
      *(path, len(left_out), ', '.join(left_out[:4])),
    )
  return {
    ours: _stack(layers, kernels[ours].shape) for ours, layers in loaded.items()
  }


def check_exportable(rows: Sequence[Row], adapters: Mapping[str, Any]) -> None:
  """Checks that a file can hold adapters, which may be shapes alone.

  Raises:
    InputError: one belongs to a layer that is no dense layer in the file.
  """
  _sources(rows, adapters)


def _sources(
  rows: Sequence[Row], adapters: Mapping[str, Any]
) -> dict[str, Source]:
  kernels = {name: adapter['a'] for name, adapter in adapters.items()}
  table = sources(rows, kernels)
  for name, source in table.items():
    if source.axes != LINEAR or source.part != (0, 1):
      raise InputError(
        f'Expected adapters of plain dense layers, got one of {name}, which is '
        'another kind of layer in the file. Leave it out of '
        '--config.model.lora_targets.'
      )
  return table


def _module(weight: str) -> str:
  return weight.removesuffix('.weight')


def _pairs(files: TensorFiles) -> dict[str, tuple[str, str]]:
  """Returns module -> names of its A and its B."""
  halves: dict[str, dict[str, str]] = {}
  for name in files.shapes:
    match = _KEY.fullmatch(name)
    if match is None:
      raise InputError(
        f'Expected adapters MODULE.lora_A.weight and MODULE.lora_B.weight in '
        f'{files.where}, got {name}. Convert the file with peft or diffusers.'
      )
    halves.setdefault(match['module'], {})[match['part']] = name
  incomplete = [module for module, names in halves.items() if len(names) < 2]
  if incomplete or not halves:
    raise InputError(
      f'Expected pairs of lora_A and lora_B in {files.where}, got only one '
      f'half of {incomplete[:4] or "nothing"}. The file is incomplete.'
    )
  return {module: (names['A'], names['B']) for module, names in halves.items()}


def _without_prefix(module: str, targets: Mapping[str, Any]) -> str | None:
  """Removes the prefix of a pipeline or of PEFT; None for unknown modules."""
  for prefix in ('', 'transformer.', f'{PEFT}.'):
    name = module.removeprefix(prefix)
    if name in targets:
      return name
  return None


def _target(
  module: str, targets: Mapping[str, tuple[str, int]], where: pathlib.Path
) -> tuple[str, int]:
  """Returns the kernel and the layer that an adapter of a file belongs to."""
  name = _without_prefix(module, targets)
  if name is None:
    raise InputError(
      f'Expected adapters of modules that the model has, got {module} in '
      f'{where}. It belongs to another model or to a text encoder.'
    )
  return targets[name]


def _settings(path: pathlib.Path) -> PeftSettings:
  """Reads the settings from adapter_config.json or from a file's header."""
  config = path / 'adapter_config.json'
  if config.is_file():
    return read_settings(read_config(config), config)
  for file in [path, *(path / f'{stem}.safetensors' for stem in STEMS)]:
    if file.is_file():
      return read_settings(_of_header(file), file)
  return read_settings(None, path)


def _of_header(file: pathlib.Path) -> dict[str, Any] | None:
  """Returns the settings that diffusers writes into a header, if any."""
  text = read_metadata(file).get('lora_adapter_metadata')
  if text is None:
    return None
  try:
    fields = json.loads(text)
    return {k.removeprefix('transformer.'): v for k, v in fields.items()}
  except (AttributeError, ValueError, RecursionError) as error:
    raise InputError(
      f'Expected an object of JSON as lora_adapter_metadata in the header of '
      f'{file}, got {text[:80]!r}.'
    ) from error


def _check_shapes(
  module: str, a: np.ndarray, b: np.ndarray, kernel: tuple[int, ...]
) -> None:
  expected = kernel[-2:]
  actual = (a.shape[0], b.shape[-1])
  if (
    a.ndim != 2 or b.ndim != 2 or actual != expected or a.shape[1] != b.shape[0]
  ):
    raise InputError(
      f'Expected an adapter of {module} from {expected[0]} to {expected[1]} '
      f'features, got A {list(a.T.shape)} and B {list(b.T.shape)}.'
    )


def _stack(
  layers: Mapping[int, tuple[np.ndarray, np.ndarray]], kernel: tuple[int, ...]
) -> dict[str, Any]:
  rank = max(a.shape[1] for a, _ in layers.values())
  *count, inputs, outputs = kernel
  a = np.zeros((*(count or [1]), inputs, rank), np.float32)
  b = np.zeros((*(count or [1]), rank, outputs), np.float32)
  for i, (down, up) in layers.items():
    a[i, :, : down.shape[1]], b[i, : up.shape[0]] = down, up
  if not count:
    a, b = a[0], b[0]
  return {'a': jnp.asarray(a), 'b': jnp.asarray(b)}
