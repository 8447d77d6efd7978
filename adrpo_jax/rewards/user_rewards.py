"""A user's own functions as rows of the tables of rewards.

The names of a function's first arguments say how it takes samples:

  images   (texts, images)               B texts, [B, H, W, 3] uint8 -> [B]
           (text, image)                 one sample -> a number
  texts    (prompts, answers)            B `TextPrompt`s, B texts -> [B]
           (prompt, answer)              one answer -> a number
           (prompt, answer, reference)   with the reference answer, or None

Behind them stand parameters of its own. A function whose attribute `measures`
is a tuple of names returns {'reward': ..., and each of these: ...} in place of
the reward alone.
"""

from collections.abc import Callable, Mapping, Sequence
import inspect
from typing import Any, NamedTuple

from adrpo_jax.errors import InputError
from adrpo_jax.rewards import image_table, text_table
from adrpo_jax.rewards.host.host_reward import HostFunction
from adrpo_jax.rewards.table import RewardRow
from adrpo_jax.rewards.text.protocol import in_batches
from adrpo_jax.system.user_code import Call, load, read_calls

KEY = 'reward.python'
# Arguments in a config that are not the function's.
SETTINGS = frozenset({'weight', 'normalize', 'batch_size', 'workers'})


class Form(NamedTuple):
  """One way to take samples.

  batched:    (function, measures) -> the function of a batch
  batch_size: samples in a call, where the config does not say; a sample that
              cannot be judged costs all of its batch
  """

  batched: Callable[[Callable, Sequence[str]], HostFunction]
  batch_size: int


class RewardForms(NamedTuple):
  """What a table asks of functions: forms by the names of first arguments."""

  forms: Mapping[tuple[str, ...], Form]
  rows: Mapping[str, RewardRow]
  host_row: Callable[..., RewardRow]


class UserReward(NamedTuple):
  """A term of the reward: its row, parameters, weight and normalizer."""

  row: RewardRow
  parameters: dict[str, Any]
  weight: float
  normalize: Any


def _of_images(function: Callable, measures: Sequence[str]) -> HostFunction:
  def batch(texts: Sequence[str], images: Any) -> Any:
    scores = [function(t, i) for t, i in zip(texts, images, strict=True)]
    if not measures:
      return scores
    names = ('reward', *measures)
    return {name: [score[name] for score in scores] for name in names}

  return batch


def _of_answers(function: Callable, measures: Sequence[str]) -> HostFunction:
  return in_batches(
    lambda prompt, answer, _: function(prompt, answer), measures
  )


_batch = Form(lambda function, measures: function, batch_size=16)

IMAGE_FORMS = RewardForms(
  {('texts', 'images'): _batch, ('text', 'image'): Form(_of_images, 1)},
  image_table.REWARDS,
  image_table.host_row,
)
TEXT_FORMS = RewardForms(
  {
    ('prompts', 'answers'): _batch,
    ('prompt', 'answer', 'reference'): Form(in_batches, 1),
    ('prompt', 'answer'): Form(_of_answers, 1),
  },
  text_table.TEXT_REWARDS,
  text_table.host_row,
)


def user_rewards(text: str, forms: RewardForms) -> dict[str, UserReward]:
  """Name -> the reward of each function that `reward.python` names.

  Raises:
    InputError: a file or function that is not there, a signature that does not
      fit, or the name of a row of the table.
  """
  return {call.name: _reward(call, forms) for call in read_calls(text, KEY)}


def _reward(call: Call, forms: RewardForms) -> UserReward:
  if call.name in forms.rows:
    raise InputError(
      f'Expected a name that no reward of the package has, got {call}. Give '
      'the function another name.'
    )
  function = load(call, KEY)
  form, own = _form(call, function, forms)
  measures = tuple(getattr(function, 'measures', ()))
  options = dict(call.arguments)
  weight = options.pop('weight', 1.0)
  normalize = options.pop('normalize', 'raw')
  if isinstance(weight, bool) or not isinstance(weight, int | float):
    raise InputError(f'Expected a number as weight of {call}, got {weight!r}.')
  arguments = {name: options.pop(name) for name in own if name in options}

  def host() -> HostFunction:
    def bound(*samples: Any) -> Any:
      return function(*samples, **arguments)

    return form.batched(bound, measures)

  host.__doc__ = function.__doc__
  return UserReward(
    forms.host_row(call.name, host, measures=measures),
    {'batch_size': form.batch_size} | options,
    float(weight),
    normalize,
  )


def _form(
  call: Call, function: Callable, forms: RewardForms
) -> tuple[Form, list[str]]:
  """The form of a function, and the names of its own parameters."""
  parameters = inspect.signature(function).parameters
  names = tuple(parameters)
  fitting = [first for first in forms.forms if names[: len(first)] == first]
  if not fitting:
    expected = ' or '.join(
      f'({", ".join(first)}, ...)' for first in forms.forms
    )
    raise InputError(
      f'Expected the arguments of {call} to be {expected}, got '
      f'({", ".join(names)}). Rename them: their names say how the function '
      'takes samples.'
    )
  first = max(fitting, key=len)
  own = [name for name in names[len(first) :] if name not in SETTINGS]
  arguments = {k: v for k, v in call.arguments.items() if k not in SETTINGS}
  try:
    inspect.signature(function).bind(*first, **arguments)
  except TypeError as error:
    raise InputError(
      f'Expected arguments of {call} that fit '
      f'{inspect.signature(function)}, beside {", ".join(sorted(SETTINGS))}; '
      f'got {sorted(arguments) or "none"}: {error}.'
    ) from error
  return forms.forms[first], own
