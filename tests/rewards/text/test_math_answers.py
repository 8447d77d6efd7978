"""The reward of mathematics: what is equal, and what must not hold up a run."""

import concurrent.futures
import importlib.util
import signal

import made_strings
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text import math_answers
from adrpo_jax.system import child_process

needs_library = pytest.mark.skipif(
  importlib.util.find_spec('math_verify') is None,
  reason="needs math-verify: pip install 'adrpo-jax[math]'",
)
PIECES = (*'0123456789xy+-^=(){}$ ', r'\frac', r'\boxed{', r'\sqrt', '\n')
FOREVER = '$9^{9^{9^{9^{9}}}} + 1$'


@pytest.fixture(scope='module')
def reward():
  return math_answers.math_match(seconds=60)


@pytest.fixture
def started(monkeypatch):
  """The processes of the test, in their order."""
  children, start = [], child_process._child

  def child(*given):
    children.append(start(*given))
    return children[-1]

  monkeypatch.setattr(child_process, '_child', child)
  return children


@needs_library
@pytest.mark.parametrize(
  ('text', 'reference', 'number'),
  [
    ('It is 0.5.', r'\frac{1}{2}', 1),
    (r'\boxed{\frac{2}{4}}', r'$\frac12$', 1),
    (r'either 3 or \boxed{4}', '4', 1),
    (r'either 4 or \boxed{3}', '4', 0),
    (r'$2\sqrt{3}$', r'2\sqrt{3}', 1),
    ('It is 2.', r'2\sqrt{3}', 0),
    (r'$1 + x$', 'x+1', 1),
    (r'$\{2, 1\}$', r'\{1, 2\}', 1),
    ('1,234', '1234', 1),
    ('no idea', '4', 0),
    ('', '4', 0),
    ('4', '', None),
    ('4', None, None),
  ],
)
def test_what_is_equal_earns_one(reward, text, reference, number):
  assert reward('?', text, reference) == number


# Each pair of spellings in both directions.
EQUAL = [
  (r'\$18.90', '18.90'),
  (r'\boxed{\$18.90}', '18.9'),
  (r'\boxed{\$32,\!348}', '32348'),
  (r'\boxed{32{,}348}', r'32\,348'),
  (r'\boxed{10\,000}', '10 000'),
  (r'\boxed{10\ 000}', '10,000'),
  (r'\boxed{1_000}', '1000'),
  (r'\boxed{1 000 000}', '10^6'),
  (r'\boxed{1\frac{1}{2}}', '1.5'),
  (r'\boxed{1 1/2}', r'\frac{3}{2}'),
  (r'\boxed{-2\frac{1}{3}}', '-7/3'),
  (r'\boxed{1e-7}', '0.0000001'),
  (r'\boxed{10^{-7}}', '1e-7'),
  (r'\boxed{\frac{1}{2^{99}}}', f'1/{2**99}'),
  (r'\boxed{2 \times 10^{-9}}', '0.000000002'),
  (r'\boxed{50\%}', '0.5'),
  (r'\boxed{50\%}', '50'),
  (r'\boxed{0.333333}', '1/3'),
  (r'\boxed{0.166667}', '1/6'),
  (r'\fbox{4}', '4'),
  (r'\boxed {4}', '4'),
]
OTHER = [
  (r'\boxed{\frac{1}{2^{99}}}', r'\frac{1}{2^{98}}'),
  (r'\boxed{1e-7}', '2e-7'),
  (r'\boxed{0.0000001}', '0.0000002'),
  (r'\boxed{10^{-30}}', '10^{-31}'),
  (r'\boxed{1.0000001}', '1'),
  (r'\boxed{0.33}', '1/3'),
  (r'\boxed{0.333334}', '1/3'),
  (r'\boxed{0.125001}', '1/8'),
  (r'\boxed{10\,000}', '10'),
  (r'\boxed{10 000}', '0'),
  (r'\boxed{1\frac{1}{2}}', r'\frac{1}{2}'),
  (r'\boxed{1 1/2}', '1'),
  (r'\boxed{\$32,\!348}', '32'),
  (r'\boxed{-3}', '3'),
  (r'\boxed{5000\%}', '0.5'),
]


@needs_library
@pytest.mark.parametrize(
  ('text', 'reference', 'number'),
  [
    *((*pair, 1) for pair in EQUAL),
    *((right, text, 1) for text, right in EQUAL),
    *((*pair, 0) for pair in OTHER),
    *((right, text, 0) for text, right in OTHER),
  ],
)
def test_numbers_are_compared_as_they_are_spelled(
  reward, text, reference, number
):
  assert reward('?', text, reference) == number


@needs_library
@pytest.mark.parametrize(
  ('text', 'reference', 'number'),
  [
    (r'\boxed{3}, no: \boxed{4}', '4', 1),
    (r'\boxed{3}, no: \boxed{4}', '3', 0),
    (r'\boxed{3} or \boxed{4}', '3', 0),
    (r'\boxed{4} and then \boxed{3', '4', 0),
    (r'\boxed{4} \boxed{}', '4', 0),
    (r'\boxed{\boxed{4}}', '4', 1),
    (r'\boxed{x = 4}', '4', 1),
    (r'\boxed{4\text{ cm}}', '4', 1),
    (r'\boxed{(1,234)}', '1234', 0),
    (r'\boxed{\{1, 2\}}', r'\{2, 1\}', 1),
    (r'\boxed{\sqrt{2}}', '1.414214', 1),
    (r'\boxed{\pi \cdot 10^{-8}}', r'2\pi \cdot 10^{-8}', 0),
    (r'\boxed{\pi \cdot 10^{-8}}', r'\frac{\pi}{10^{8}}', 1),
    (r'\boxed{\{10^{-8}, 1\}}', r'\{2 \cdot 10^{-8}, 1\}', 0),
    (r'The answer is \$18.90.', '18.90', 1),
    (r'The answer is \$32,\!348.', '32348', 1),
    ('It costs $18.90.', '18.90', 1),
    (r'It is $10\,000$.', '10000', 1),
    ('The answer is 10 000.', '10000', 1),
    ('The answer is 1 1/2.', '1.5', 1),
    ('The answer is 1e-7.', '0.0000001', 1),
    ('The answer is 1e-7.', '0.0000002', 0),
    ('4', 'All of it: #### 4', 1),
    (r'\boxed{4}', r'So 3 + 1 = \boxed{4}.', 1),
    ('4', ' ', None),
    ('', '', None),
    ('4', r'\boxed{4', None),
  ],
)
def test_the_last_box_or_the_text_is_the_answer(
  reward, text, reference, number
):
  assert reward('?', text, reference) == number


@needs_library
def test_no_string_breaks_the_judge(reward):
  for text in made_strings.strings(PIECES, 60):
    assert reward('?', text, '4') in (0, 1, None)
  assert reward('?', '4', '4') == 1


@needs_library
def test_a_judgment_without_end_is_none_and_the_next_is_made(
  started, monkeypatch
):
  monkeypatch.setattr(child_process, 'WAITING', 10.0)  # in place of 30 s
  made = math_answers.math_match(seconds=1)
  assert made('?', FOREVER, '4') is None
  # The timer of the process, or else the parent's clock.
  assert started[0].returncode in (-signal.SIGPROF, -signal.SIGKILL)
  assert made('?', '$x$', 'x') == 1
  assert len(started) == 2


@needs_library
def test_a_process_that_is_gone_is_replaced(started):
  made = math_answers.math_match(seconds=60)
  started[0].kill()
  started[0].wait()
  assert made('?', '$x$', 'x') is None
  assert made('?', '$x$', 'x') == 1
  assert len(started) == 2


@needs_library
def test_threads_ask_at_the_same_time(reward):
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    given = [str(i % 3) for i in range(12)]
    numbers = list(pool.map(lambda text: reward('?', text, '1'), given))
  assert numbers == [float(text == '1') for text in given]


def test_without_the_library_the_way_out_is_said(monkeypatch, tmp_path):
  (tmp_path / 'math_verify.py').write_text("raise ImportError('not here')")
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))
  with pytest.raises(InputError, match=r'ImportError: not here.*\[math\]'):
    math_answers.math_match()
