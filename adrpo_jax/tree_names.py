"""Leaves of a pytree by name, and two sets of names compared.

Sharding rules, checkpoints and weight files all know an array by the path that
leads to it: `params/blocks_0/to_q/dense/kernel`.
"""

from collections.abc import Mapping
import difflib
from typing import Any

import jax

from adrpo_jax.errors import InputError
from adrpo_jax.types import PyTree

_LISTED = 8  # names of each kind that an error spells out


def leaf_names(tree: PyTree) -> dict[str, Any]:
  """Name -> leaf, in flattening order; None and empty subtrees have none.

  >>> leaf_names({'a': [1.0, None], 'b': ()})
  {'a/0': 1.0}

  Raises:
    InputError: two leaves would share a name (a key that holds '/').
  """
  flat = jax.tree_util.tree_flatten_with_path(tree)[0]
  named = [
    (jax.tree_util.keystr(path, simple=True, separator='/'), leaf)
    for path, leaf in flat
  ]
  names = dict(named)
  if len(names) < len(named):
    all_names = [name for name, _ in named]
    twice = sorted({name for name in names if all_names.count(name) > 1})
    raise InputError(
      f'Expected every leaf to have a name of its own, but {twice} occur '
      "more than once. Rename the keys that hold '/'."
    )
  return names


def check_same(
  expected: Mapping[str, str], actual: Mapping[str, str], where: str
) -> None:
  """Compares name -> description of what is wanted with what `where` holds.

  Raises:
    InputError: names the missing leaves (each with the nearest that is left
      over), the extra ones, and those whose description differs.
  """
  missing = [name for name in expected if name not in actual]
  extra = [name for name in actual if name not in expected]
  differing = [
    f'{name}: expected {expected[name]}, got {actual[name]}'
    for name in expected
    if name in actual and actual[name] != expected[name]
  ]
  if not (missing or extra or differing):
    return
  lines = [
    f'{where} does not hold the expected {len(expected)} arrays.',
    *_listing('Missing', [_with_nearest(name, extra) for name in missing]),
    *_listing('Not expected', extra),
    *_listing('Different', differing),
    'Use the file that belongs to this model, or the config that made it.',
  ]
  raise InputError('\n'.join(lines))


def _listing(title: str, items: list[str]) -> list[str]:
  if not items:
    return []
  rest = len(items) - _LISTED
  more = [f'  ... and {rest} more'] if rest > 0 else []
  return [f'{title}:', *(f'  {item}' for item in items[:_LISTED]), *more]


def _with_nearest(name: str, candidates: list[str]) -> str:
  near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
  return f'{name} (nearest in the file: {near[0]})' if near else name
