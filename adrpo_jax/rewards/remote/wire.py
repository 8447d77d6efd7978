"""The messages between a reward client and a reward server: JSON over HTTP.

  POST {url}/score    {"version": 2, "prompts": ["a red circle", ...],
                       "encoding": "png", "samples": ["iVBORw0KGgo...", ...]}
  or, of texts        {"version": 2, "prompts": ["What is 2 + 2?", ...],
                       "references": ["4", null, ...],
                       "choices": [["3", "4"], [], ...],
                       "answers": ["It is 4.", ...]}
  200                 {"version": 2, "rewards": [0.5, null, ...]}

  GET {url}/health
  200                 {"version": 2, "reward": "jpeg_compressibility"}

  any other status    {"version": 2, "error": "what was wrong"}

Prompts, samples or answers, and rewards are B of each, in one order; `null` is
a sample that could not be judged. The kind of a request is
that of its field: "samples" are images, "answers" are texts, and both together
are an error.

A sample is the base64 of an image [H, W, 3] uint8, as PNG or as npy without
pickled objects; both keep every bit. All images of a request have one shape. An
answer is its text, which may be empty. "references" has the reference answer of
each prompt, or null, and "choices" the options of each, none for an open
question; either may be left out where there is none.
"""

import base64
from collections.abc import Callable, Sequence
import json
import math
from typing import Any

import numpy as np

from adrpo_jax.rewards.remote.image_encodings import ENCODINGS, named_encoding
from adrpo_jax.rewards.text.protocol import TextPrompt

VERSION = 2
MAX_PIXEL_BYTES = 2**28  # of all images of a request, unpacked


class WireError(ValueError):
  """A message that is not in the format; the text says what is wrong."""


def write_request(
  texts: Sequence[str], images: np.ndarray, encoding: str
) -> bytes:
  """B prompts and images [B, H, W, 3] uint8 -> the body of POST /score."""
  pack = named_encoding(encoding).pack
  samples = [base64.b64encode(pack(image)).decode() for image in images]
  return _write(prompts=list(texts), encoding=encoding, samples=samples)


def write_text_request(
  prompts: Sequence[TextPrompt], answers: Sequence[str]
) -> bytes:
  """B prompts with references and options, and B answers -> the body."""
  choices = [list(prompt.choices) for prompt in prompts]
  return _write(
    prompts=[prompt.text for prompt in prompts],
    references=[prompt.reference for prompt in prompts],
    answers=list(answers),
    **({'choices': choices} if any(choices) else {}),
  )


def read_request(
  body: bytes,
) -> (
  tuple[tuple[str, ...], np.ndarray]
  | tuple[tuple[TextPrompt, ...], tuple[str, ...]]
):
  """Reads a body of either kind, which may hold anything.

  Returns:
    Prompts and images [B, H, W, 3] uint8, or prompts with their references
    and options, and answers.

  Raises:
    WireError: the first thing that is wrong.
  """
  record = _read(body)
  texts = _strings(record, 'prompts')
  key = 'answers' if 'answers' in record else 'samples'
  if {'answers', 'samples'} <= set(record):
    raise WireError("expected 'answers' or 'samples', got both")
  samples = _strings(record, key)
  if len(texts) != len(samples):
    raise WireError(f'got {len(texts)} prompts and {len(samples)} {key}')
  if key == 'answers':
    references = _references(record, len(texts))
    choices = _choices(record, len(texts))
    return tuple(map(TextPrompt, texts, references, choices)), tuple(samples)
  if record.get('encoding') not in list(ENCODINGS):
    raise WireError(
      f"expected 'encoding' {' or '.join(ENCODINGS)}, got "
      f'{record.get("encoding")!r}'
    )
  return tuple(texts), _images(samples, ENCODINGS[record['encoding']].unpack)


def write_answer(rewards: np.ndarray) -> bytes:
  """Rewards [B] -> the body of a 200; one that is not finite becomes null."""
  return _write(
    rewards=[float(r) if math.isfinite(r) else None for r in rewards]
  )


def read_answer(body: bytes, count: int) -> np.ndarray:
  """Reads the body of `write_answer`: -> [count] float64, NaN for null.

  Raises:
    WireError: not JSON, another version, not `count` numbers.
  """
  rewards = _read(body).get('rewards')
  if not isinstance(rewards, list) or len(rewards) != count:
    got = len(rewards) if isinstance(rewards, list) else repr(rewards)[:80]
    raise WireError(f"expected {count} numbers as 'rewards', got {got}")
  for number in rewards:
    if number is not None and type(number) not in (int, float):  # no bool
      raise WireError(f'expected numbers or null, got {repr(number)[:80]}')
  try:
    return np.array([math.nan if r is None else float(r) for r in rewards])
  except OverflowError as error:
    raise WireError('expected numbers that a float can hold') from error


def answer_limit(count: int) -> int:
  """The largest number of bytes of a correct answer with `count` rewards."""
  return 4096 + 64 * count


def write_health(reward: str) -> bytes:
  """The name of the reward that is served -> the body of GET /health."""
  return _write(reward=reward)


def read_health(body: bytes) -> str:
  """Reads the body of `write_health`. Raises WireError."""
  return str(_read(body).get('reward', ''))


def write_error(message: str) -> bytes:
  """The error message -> the body of an answer that is not 200."""
  return _write(error=message)


def read_error(body: bytes) -> str:
  """The error message of an answer that is not 200, from any kind of server."""
  try:
    return str(_read(body).get('error', ''))[:200]
  except WireError:
    return body[:200].decode(errors='replace')


def _write(**fields: Any) -> bytes:
  return json.dumps({'version': VERSION, **fields}, allow_nan=False).encode()


def _read(body: bytes) -> dict[str, Any]:
  try:
    record = json.loads(body)
  except (ValueError, RecursionError) as error:
    raise WireError(f'expected JSON, got {body[:80]!r}') from error
  if not isinstance(record, dict) or record.get('version') != VERSION:
    raise WireError(
      f'expected a JSON object with "version": {VERSION}, got {body[:80]!r}'
    )
  return record


def _strings(record: dict[str, Any], name: str) -> list[str]:
  listed = record.get(name)
  if not isinstance(listed, list) or not listed:
    raise WireError(f'expected {name!r}, a list that is not empty')
  if not all(isinstance(item, str) for item in listed):
    raise WireError(f'expected strings in {name!r}')
  return listed


def _references(record: dict[str, Any], count: int) -> list[str | None]:
  listed = record.get('references', [None] * count)
  if not isinstance(listed, list) or len(listed) != count:
    raise WireError(f"expected 'references', a list of {count}")
  if not all(item is None or isinstance(item, str) for item in listed):
    raise WireError("expected strings or null in 'references'")
  return listed


def _choices(record: dict[str, Any], count: int) -> list[tuple[str, ...]]:
  listed = record.get('choices', [[]] * count)
  if not isinstance(listed, list) or len(listed) != count:
    raise WireError(f"expected 'choices', a list of {count}")
  for options in listed:
    if not isinstance(options, list) or not all(
      isinstance(option, str) for option in options
    ):
      raise WireError("expected lists of strings in 'choices'")
  return [tuple(options) for options in listed]


def _images(
  samples: Sequence[str], unpack: Callable[[bytes, int], np.ndarray]
) -> np.ndarray:
  images: list[np.ndarray] = []
  room = MAX_PIXEL_BYTES
  for number, sample in enumerate(samples):
    try:
      image = unpack(base64.b64decode(sample, validate=True), room)
    except Exception as error:  # Decoders raise many kinds on damaged data.
      raise WireError(f'sample {number} cannot be read: {error}') from error
    if images and image.shape != images[0].shape:
      raise WireError(
        f'sample {number} has shape {image.shape}, the first one '
        f'{images[0].shape}'
      )
    images.append(image)
    room -= image.nbytes
  return np.stack(images)
