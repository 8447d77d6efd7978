"""Tokenizers of language models: templates, the tokens that end, ids."""

import json

import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder.chat_tokenizer import load_chat_tokenizer
from adrpo_jax.models.files.tokenizers import check_token_ids, load_tokenizer
from adrpo_jax.models.tiny import qwen as qwen_tiny

END, START, TURN = 256, 257, 258  # the special tokens of the tiny Qwen
THINKING = (
  "{% for m in messages %}{{ '<|im_start|>' + m['content'] + '<|im_end|>' }}"
  '{% endfor %}'
  "{% if enable_thinking is defined and not enable_thinking %}{{ 'now' }}"
  '{% endif %}'
)


@pytest.fixture
def folder(tmp_path):
  """The tokenizer of the tiny Qwen and no weights, to be spoilt."""
  tmp_path.mkdir(exist_ok=True)
  qwen_tiny.write_tokenizer(tmp_path)
  return tmp_path


def with_template(folder, template):
  (folder / 'chat_template.jinja').write_text(template)
  return folder


def with_generation(folder, content):
  (folder / 'generation_config.json').write_text(content)
  return folder


def changed(folder, **fields):
  path = folder / 'tokenizer_config.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))
  return folder


def test_a_completion_ends_at_every_token_that_ends_one(folder):
  """Bases say one token there, and their template another."""
  assert load_chat_tokenizer(folder).stop_ids == (TURN,)
  with_generation(folder, '{"eos_token_id": [256]}')
  assert load_chat_tokenizer(folder).stop_ids == (END, TURN)
  with_generation(folder, '{"eos_token_id": 65}')
  changed(folder, eos_token='<|endoftext|>')
  load_tokenizer.cache_clear()
  assert load_chat_tokenizer(folder).stop_ids == (65, END, TURN)
  assert load_chat_tokenizer(folder, 'none').stop_ids == (65, END)


def test_the_end_of_a_turn_is_the_first_special_token_behind_it(folder):
  changed(folder, eos_token='<|endoftext|>')
  head = "{% for m in messages %}{{ m['content'] }}"
  for behind, stops in (
    ("{{ ' .<|im_start|><|im_end|>' }}", (END, START)),
    ("{{ '.' }}", (END,)),
    ("{% if m['role'] == 'assistant' %}{{ raise_exception('no') }}{% endif %}",)
    + ((END,),),
  ):
    with_template(folder, f'{head}{behind}{{% endfor %}}')
    load_tokenizer.cache_clear()
    assert load_chat_tokenizer(folder).stop_ids == stops


@pytest.mark.parametrize(
  'value',
  ['null', '"<|im_end|>"', '[]', 'true', '-1', '2.0', '[256, null]', '{}'],
)
def test_what_generation_config_says_is_read_or_refused(value, folder):
  with_generation(folder, f'{{"eos_token_id": {value}}}')
  with pytest.raises(InputError, match=r'eos_token_id .*generation_config'):
    load_chat_tokenizer(folder)


@pytest.mark.parametrize(
  'content', ['', '{', '[]', '[' * 100_000, '"x"'], ids=range(5)
)
def test_a_damaged_generation_config_is_named(content, folder):
  with_generation(folder, content)
  with pytest.raises(InputError, match='generation_config'):
    load_chat_tokenizer(folder)


def test_no_token_that_can_be_drawn_ends_a_completion(folder):
  changed(folder, eos_token=None)
  load_tokenizer.cache_clear()
  with pytest.raises(InputError, match=r'ends a completion.* got none'):
    load_chat_tokenizer(folder, 'none')
  with_generation(folder, '{"eos_token_id": 270}')
  with pytest.raises(InputError, match=r'ends a completion.* got \[270\]'):
    load_chat_tokenizer(folder, 'none')


@pytest.mark.parametrize(
  ('template', 'system', 'said'),
  [
    ('{% for m in messages %}', '', 'raised TemplateSyntaxError'),
    ('{{ messages[7].content }}', '', 'raised UndefinedError'),
    ("{{ raise_exception('none') }}", '', 'TemplateError: none'),
    ("{{ 'always this' }}", '', "leaves out 'question'"),
    (
      "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}"
      "{% endif %}{{ messages[0]['content'] }}",
      'Be brief.',
      r"\['system', 'user'\].* takes no system .* --config\.model\.system",
    ),
    (
      "{{ messages[-1]['content'] }}",
      'Be brief.',
      r"leaves out 'Be brief\.'.* --config\.model\.system",
    ),
  ],
)
def test_a_template_that_does_not_fit_is_named(template, system, said, folder):
  with_template(folder, template)
  load_tokenizer.cache_clear()
  with pytest.raises(InputError, match=rf'chat_template\.jinja.*{said}'):
    load_chat_tokenizer(folder, system=system)


def test_arguments_reach_the_template(folder):
  with_template(folder, THINKING)
  load_tokenizer.cache_clear()

  def written(**arguments):
    tokenizer = load_chat_tokenizer(folder, arguments=arguments)
    return tokenizer.decode_raw(tokenizer.encode('hi'))

  assert written() == '<|im_start|>hi<|im_end|>'
  assert written(enable_thinking=True) == '<|im_start|>hi<|im_end|>'
  assert written(enable_thinking=False) == '<|im_start|>hi<|im_end|>now'


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    ({'enable_thinkng': False}, "Did you mean 'enable_thinking'"),
    ({'messages': []}, "got 'messages', which it does not read"),
    ({'tokenize': True}, "got 'tokenize'"),
  ],
)
def test_arguments_that_a_template_does_not_read(arguments, said, folder):
  with_template(folder, THINKING)
  load_tokenizer.cache_clear()
  with pytest.raises(InputError, match=said):
    load_chat_tokenizer(folder, arguments=arguments)


def test_without_a_template_there_are_no_arguments(folder):
  with pytest.raises(InputError, match=r"template 'chat' beside .* arguments"):
    load_chat_tokenizer(folder, 'none', arguments={'enable_thinking': False})


@pytest.mark.parametrize(
  'content',
  ['', '{"version": ', '{}', '[' * 100_000, '{"model": {"type": "none"}}'],
  ids=range(5),
)
def test_a_damaged_tokenizer_is_named(content, folder):
  (folder / 'tokenizer.json').write_text(content)
  load_tokenizer.cache_clear()
  with pytest.raises(InputError, match=r'a tokenizer in .* It says: .'):
    load_chat_tokenizer(folder)


def test_ids_are_checked_by_the_largest(tmp_path):
  check_token_ids(np.array([0, 5, 9]), 10, tmp_path)
  with pytest.raises(InputError, match=r'below 9, .* got 9 \(1 such ids\)'):
    check_token_ids(np.array([0, 5, 9]), 9, tmp_path)
  with pytest.raises(InputError, match=r'got -1 \(1 such'):
    check_token_ids(np.array([-1, 5]), 9, tmp_path)
