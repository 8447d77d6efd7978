"""The settings of an adapter, read as PEFT reads them.

They are in adapter_config.json, or in the header of a file of diffusers. Names
of modules are those of the model, without a prefix of PEFT or of a pipeline.
"""

from collections.abc import Iterable, Mapping
import pathlib
import re
from typing import Any, NamedTuple

from adrpo_jax.errors import InputError
from adrpo_jax.models.files.config_files import check_fields

OFF = (None, False)
# Settings with one meaning here, and the values that stand for it: with others
# the adapter is more than W + alpha/r·B·A, or changes the base.
PLAIN: dict[str, tuple[Any, ...]] = {
  'peft_type': ('LORA',),
  'use_dora': OFF,
  'use_qalora': OFF,
  'use_bdlora': OFF,
  'lora_bias': OFF,
  'bias': ('none',),
  'modules_to_save': OFF,
  'layer_replication': OFF,
  'trainable_token_indices': OFF,
  'target_parameters': OFF,
  'alora_invocation_tokens': OFF,
  'arrow_config': OFF,
  'kasa_config': OFF,
  'monteclora_config': OFF,
  'velora_config': OFF,
  'init_lora_weights': (True, False, 'gaussian', 'orthogonal', 'eva'),
}
RANK = ALPHA = 8  # of a config that lacks them


class PeftSettings(NamedTuple):
  """Which modules have adapters, and their strength.

  fields: of the config; None for a file without any, whose adapters are all
    used with a strength of 1.
  """

  fields: Mapping[str, Any] | None

  def strength(self, module: str, rank: int) -> float:
    """Returns alpha/r of a module, or alpha/√r with `use_rslora`."""
    if self.fields is None:
      return 1.0
    alpha = self._of_pattern('alpha_pattern', 'lora_alpha', ALPHA, module)
    expected = self._of_pattern('rank_pattern', 'r', RANK, module)
    if expected != rank:
      raise InputError(
        f'Expected an adapter of {module} of rank {expected}, which its config '
        f'has, got one of rank {rank}. Config and weights are of different '
        'adapters.'
      )
    return alpha / (rank**0.5 if self.fields.get('use_rslora') else rank)

  def adapts(self, module: str) -> bool:
    """Says if PEFT puts an adapter beside a module."""
    fields = self.fields or {}
    if _selects(fields.get('exclude_modules') or (), module):
      return False
    targets = fields.get('target_modules')
    if targets is None or targets == 'all-linear':
      return True
    if isinstance(targets, str):  # PEFT ignores layers_to_transform then.
      return bool(re.fullmatch(targets, module))
    return _selects(targets, module) and (
      module in targets or self._is_of_layer(module)
    )

  def _is_of_layer(self, module: str) -> bool:
    """Says if `layers_to_transform` has the layer of a module."""
    fields = self.fields or {}
    layers = fields.get('layers_to_transform')
    if layers is None or layers == []:
      return True
    named = fields.get('layers_pattern') or []
    patterns = [
      rf'(?:^|.*?\.){name}'
      for name in ([named] if isinstance(named, str) else named)
    ]
    for pattern in patterns or [r'.*?\.[^.]*']:
      if found := re.match(rf'{pattern}\.(?P<layer>\d+)\.', module):
        return int(found['layer']) in (
          [layers] if isinstance(layers, int) else layers
        )
    return False

  def _of_pattern(
    self, patterns: str, default: str, other: float, module: str
  ) -> float:
    """Returns the value of the first pattern that ends the module's name."""
    fields = self.fields or {}
    for pattern, value in (fields.get(patterns) or {}).items():
      if re.match(rf'(.*\.)?({pattern})$', module):
        return value
    return fields.get(default, other)


def read_settings(
  fields: Mapping[str, Any] | None, path: pathlib.Path
) -> PeftSettings:
  """Makes the settings of the fields of a file, None for one without any.

  Raises:
    InputError: the adapter is of a kind that is not implemented here, or a
      field has another type or is no regular expression.
  """
  if fields is None:
    return PeftSettings(None)
  check_fields(path, fields, **PLAIN)
  for name in ('alpha_pattern', 'rank_pattern'):
    _check(isinstance(fields.get(name) or {}, dict), name, fields, path)
    for pattern, value in (fields.get(name) or {}).items():
      _check(_is_positive(value) and _compiles(pattern), name, fields, path)
  for name in ('r', 'lora_alpha'):
    _check(_is_positive(fields.get(name, 1)), name, fields, path)
  for name in ('target_modules', 'exclude_modules'):
    names = fields.get(name)
    _check(
      names is None
      or (_compiles(names) if isinstance(names, str) else _are_texts(names)),
      name,
      fields,
      path,
    )
  layers = fields.get('layers_to_transform')
  numbers = layers if isinstance(layers, list) else [layers]
  _check(
    layers is None or all(type(n) is int for n in numbers),
    'layers_to_transform',
    fields,
    path,
  )
  names = fields.get('layers_pattern') or []
  patterns = [names] if isinstance(names, str) else names
  _check(
    _are_texts(patterns) and all(map(_compiles, patterns)),
    'layers_pattern',
    fields,
    path,
  )
  return PeftSettings(fields)


def _selects(names: str | Iterable[str], module: str) -> bool:
  """Says if a module is named: whole, by its last parts, or by a pattern."""
  if isinstance(names, str):
    return bool(re.fullmatch(names, module))
  return any(module == name or module.endswith(f'.{name}') for name in names)


def _is_positive(value: Any) -> bool:
  return type(value) in (int, float) and 0 < value < 1e9


def _are_texts(value: Any) -> bool:
  return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _compiles(pattern: str) -> bool:
  try:
    re.compile(pattern)
  except (re.error, OverflowError, RecursionError):
    return False
  return True


def _check(
  good: bool, name: str, fields: Mapping[str, Any], path: pathlib.Path
) -> None:
  if not good:
    raise InputError(
      f'Expected {name} of an adapter of PEFT in {path}, got {fields[name]!r}.'
    )
