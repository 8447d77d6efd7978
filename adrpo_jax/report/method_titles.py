"""The title of a method, for runs that do not record it."""

from adrpo_jax.method.language_methods import LANGUAGE_METHODS
from adrpo_jax.method.methods import METHODS

TITLES = {
  name: row.title
  for table in (METHODS, LANGUAGE_METHODS)
  for name, row in table.items()
}


def method_title(name: str) -> str:
  """Returns the title of a method; a name of no table is its own title."""
  return TITLES.get(name, name)
