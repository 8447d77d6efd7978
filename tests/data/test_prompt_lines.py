"""Lines, categories and characters of prompt files from any writer."""

import pytest
import small_run

from adrpo_jax.data import prompts
from adrpo_jax.errors import InputError


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize(
  ('name', 'lines'),
  [
    ('p.txt', ['', 'a', ' \t', '', 'b', '']),
    ('p.jsonl', ['', '{"prompt": "a"}', '  ', '', '{"prompt": "b"}', '']),
    ('p.csv', ['', 'prompt,tag', '', 'a,', ' ', ',', 'b,', '']),
    ('p.csv', ['prompt', '', 'a', '  ', 'b', '', '']),
    ('p.tsv', ['', 'prompt\ttag', '', 'a\t', '\t', ' ', 'b\t', '']),
  ],
)
def test_blank_lines_are_skipped_whatever_ends_a_line(name, lines, end, write):
  for path in (write(name, end.join(lines)), write(name, end.join(lines[:-1]))):
    assert prompts.load(path).texts == ('a', 'b')


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_a_cell_in_quotes_may_hold_lines(end, write):
  path = write('p.csv', end.join(['text,tag', '"a', '', 'b",x', '', 'c,y']))
  loaded = prompts.load(path)
  assert loaded.texts == ('a\n\nb', 'c')
  assert loaded.categories == ('x', 'y')


@pytest.mark.parametrize(
  ('value', 'category'),
  [
    ('null', ''),
    ('NaN', ''),
    ('[]', ''),
    ('[null]', ''),
    ('" two "', 'two'),
    ('["one"]', 'one'),
    ('[3]', '3'),
    ('3', '3'),
    ('1.50', '1.50'),
    ('0.00001', '0.00001'),
    ('9' * 5000, '9' * 5000),
    ('true', 'true'),
  ],
)
def test_a_category_is_text_or_none(value, category, write):
  path = write('p.jsonl', f'{{"prompt": "a heron", "tag": {value}}}\n')
  assert prompts.load(path).categories == (category,)


@pytest.mark.parametrize(
  'row',
  [
    r'{"prompt": "a heron \ud83d"}',
    r'{"prompt": "\udc00 heron"}',
    r'{"prompt": "a", "tag": "\ud83d"}',
    r'{"prompt": "a", "answer": ["\ud83d"]}',
  ],
)
def test_half_of_a_character_is_told_with_its_line(row, write):
  whole = r'{"prompt": "\ud83d\ude00", "tag": "\u00e9"}'
  path = write('p.jsonl', f'{whole}\n\n{row}\n')
  with pytest.raises(InputError, match=r"jsonl, line 3: .*'\\ud[8c]"):
    prompts.load(path)
  assert prompts.load(write('q.jsonl', whole)).texts == ('\U0001f600',)


def test_a_prompt_of_another_encoding_is_refused(tmp_path):
  """Bytes of a shell that are not UTF-8 come as halves of pairs."""
  said = small_run.refused(tmp_path, '--mode=sample', '--prompt=a \udcff')
  assert 'error: --prompt: expected whole characters, got one half' in said
