"""The grid of a sweep: which settings of which methods are run.

  --sweep=method.adrpo.beta0=0.02,0.05 --sweep=training.learning_rate=1e-4,3e-4

A key of a method's parameters, `method.NAME.*`, is for this method and its
variants; any other key is for all. A method runs with every combination of the
values of its keys, each under a name of its own: `adrpo@beta0=0.02`.
"""

from collections.abc import Iterable, Mapping, Sequence
import itertools
from typing import NamedTuple

from adrpo_jax.errors import InputError, unknown_name

MARK = '@'  # between the name of a method and its settings

Changes = dict[str, object]  # dotted key -> value


class Sweep(NamedTuple):
  """The values of one key, as texts."""

  key: str
  values: tuple[str, ...]

  def is_for(self, method: object) -> bool:
    """Returns True if the key is for this method, one of `method.name`."""
    first, *rest = self.key.split('.')
    return first != 'method' or len(rest) < 2 or rest[0] == method


def parse(words: Iterable[str], keys: Iterable[str]) -> list[Sweep]:
  """Reads KEY=VALUE,VALUE,... of keys that a config has.

  Raises:
    InputError: another form, an unknown key, a key or a value twice, or a value
      that no name of a folder can hold.
  """
  known, sweeps = list(keys), list[Sweep]()
  for word in words:
    key, _, text = word.partition('=')
    values = tuple(value.strip() for value in text.split(','))
    if not (key and all(values)):
      raise InputError(
        f'Expected --sweep=KEY=VALUE,VALUE,..., got {word!r}. KEY is one of '
        'the config, such as method.adrpo.beta0.'
      )
    if key not in known:
      raise unknown_name(key, known, 'key of --sweep')
    if key in (sweep.key for sweep in sweeps) or len(set(values)) < len(values):
      raise InputError(f'Expected each key and value once, got {word!r}.')
    if any({'/', MARK} & set(value) for value in values):
      raise InputError(
        f'Expected values without "/" and "{MARK}", which name folders, got '
        f'{word!r}.'
      )
    sweeps.append(Sweep(key, values))
  return sweeps


def expanded(
  entries: Mapping[str, Changes], sweeps: Sequence[Sweep]
) -> dict[str, Changes]:
  """Returns name -> changes, with every setting of each entry in its place.

  Args:
    entries: name -> changes, of which one is `method.name`.
    sweeps: of all entries.

  Raises:
    InputError: a key is for none of the entries.
  """
  for sweep in sweeps:
    if not any(
      sweep.is_for(entry['method.name']) for entry in entries.values()
    ):
      raise InputError(
        f'Expected a method that --sweep={sweep.key} is for, got '
        f'{", ".join(entries)}.'
      )
  grid: dict[str, Changes] = {}
  for name, entry in entries.items():
    own = [sweep for sweep in sweeps if sweep.is_for(entry['method.name'])]
    for values in itertools.product(*(sweep.values for sweep in own)):
      setting = {s.key: v for s, v in zip(own, values, strict=True)}
      grid[_name(name, setting)] = entry | setting
  return grid


def _name(name: str, setting: Mapping[str, str]) -> str:
  """Returns the name of a setting, with keys by their last words."""
  last = [key.rpartition('.')[2] for key in setting]
  words = last if len(set(last)) == len(last) else list(setting)
  values = (f'{k}={v}' for k, v in zip(words, setting.values(), strict=True))
  settings = ','.join(values)
  return f'{name}{MARK}{settings}' if settings else name


def method_of(name: str) -> str:
  """Returns the name of an entry without its setting."""
  return name.partition(MARK)[0]


def setting_of(name: str) -> str:
  """Returns the setting in a name, '' if there is none."""
  return name.partition(MARK)[2]
