"""Rewards of text that depend on its form alone: a pattern, or its length."""

from collections.abc import Callable
import pathlib
import re

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text.protocol import TextReward

# Name -> a pattern. No tag stands within a tag: with '.+' in place of '[^<]+',
# '<answer>a</answer><answer>b</answer>' would match with two answers.
PATTERNS = {
  'answer': r'<answer>[^<]+</answer>',
  'think_answer': r'<think>[^<]+</think>\s*<answer>[^<]+</answer>',
}


def regex_format(pattern: str) -> TextReward:
  r"""1 where the whole answer matches a regular expression of Python, else 0.

  A name stands for a pattern: ``think_answer`` for
  ``<think>[^<]+</think>\s*<answer>[^<]+</answer>``, and ``answer`` for its
  second half. They let no tag stand within a tag, and so no second answer,
  which ``<answer>.+</answer>`` does; an answer that writes "less than" as a
  sign does not match. The dot of a pattern matches a line break too. A pattern
  with nested repetitions, such as ``(a+)+``, can take exponential time on an
  answer that does not match; write it without them.

  Raises:
    InputError: the pattern is no regular expression; the message says where.
  """
  try:
    form = re.compile(PATTERNS.get(pattern, pattern), re.DOTALL)
  except (re.error, TypeError, OverflowError, RecursionError) as error:
    raise InputError(
      f"Expected a regular expression of Python's re, got {pattern!r}: {error}."
    ) from error

  def reward(prompt: str, text: str, reference: str | None) -> float:
    del prompt, reference
    return float(form.fullmatch(text) is not None)

  return reward


def soft_overlong(
  limit: int, margin: int, *, tokenizer: str = ''
) -> TextReward:
  """DAPO's punishment of long answers: 0, then a slope, then −1.

  r = 0                                  |y| ≤ L_max − L_cache
      (L_max − L_cache − |y|)/L_cache    up to L_max
      −1                                 beyond

  Yu et al., `DAPO <https://arxiv.org/abs/2503.14476>`_, 2025, eq. 13; there
  L_max is 20,480 and L_cache 4,096 tokens. Add it to a reward of the content.

  Args:
    limit: L_max.
    margin: L_cache, from 1 to L_max.
    tokenizer: a folder whose tokenizer counts |y|, without the special tokens
      around a text; '' counts characters. A model may write the same text in
      more tokens than its tokenizer does.

  Raises:
    InputError: a limit or margin out of range, no tokenizer in the folder.
  """
  if not 1 <= margin <= limit:
    raise InputError(
      f'Expected 1 ≤ margin ≤ limit of a length, got a margin of {margin} and '
      f'a limit of {limit}.'
    )
  length = _tokens(pathlib.Path(tokenizer)) if tokenizer else len

  def reward(prompt: str, text: str, reference: str | None) -> float:
    del prompt, reference
    return overlong_punishment(length(text), limit, margin)

  return reward


def overlong_punishment(length: int, limit: int, margin: int) -> float:
  """The equation of `soft_overlong` for one length; in [−1, 0]."""
  return max(-1.0, min(0.0, (limit - margin - length) / margin))


def _tokens(folder: pathlib.Path) -> Callable[[str], int]:
  from adrpo_jax.models.files.tokenizers import load_tokenizer

  tokenizer = load_tokenizer(folder)
  return lambda text: len(tokenizer.encode(text, add_special_tokens=False))
