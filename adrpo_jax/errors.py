"""Errors that speak to the person who gave the input, not to the programmer."""

from collections.abc import Iterable
import difflib


class InputError(ValueError):
  """What was given is wrong; the message says what, where, and the way out.

  The command line prints it without a traceback.
  """


class RunError(RuntimeError):
  """A run cannot go on; the message says why, what is kept, and the way out.

  The command line prints it without a traceback.
  """


def unknown_name(name: str, known: Iterable[str], what: str) -> InputError:
  """The error for a name that a table does not have, with the nearest it has.

  >>> print(unknown_name('shaeps', ['shapes'], 'reward'))
  Unknown reward 'shaeps'. Did you mean 'shapes'? Known: shapes.
  """
  names = sorted(known)
  listed = ', '.join(names) or 'none'
  hint = did_you_mean(str(name), names)
  return InputError(f'Unknown {what} {str(name)!r}.{hint} Known: {listed}.')


def did_you_mean(name: str, known: Iterable[str]) -> str:
  """' Did you mean …?' with the nearest known name, '' if none is near."""
  near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
  return f' Did you mean {near[0]!r}?' if near else ''
