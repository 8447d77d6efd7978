"""Errors that speak to the person who gave the input, not to the programmer."""

from collections.abc import Iterable
import difflib


class InputError(ValueError):
  """What was given is wrong; the message says what, where, and the way out.

  The command line prints it without a traceback.
  """


def unknown_name(name: str, known: Iterable[str], what: str) -> InputError:
  """The error for a name that a table does not have, with the nearest it has.

  >>> raise unknown_name('shaeps', REWARDS, 'reward')
  InputError: Unknown reward 'shaeps'. Did you mean 'shapes'? Known: shapes.
  """
  names = sorted(known)
  near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
  hint = f' Did you mean {near[0]!r}?' if near else ''
  return InputError(
    f'Unknown {what} {str(name)!r}.{hint} Known: {", ".join(names)}.'
  )
