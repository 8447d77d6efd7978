"""Prompts with sounds: the template, the marker, its places."""

import json

import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder.sound_prompts import (
  SoundText,
  load_sound_tokenizer,
)
from adrpo_jax.models.files.tokenizers import load_tokenizer
from adrpo_jax.worlds.tones import tokenizer as tones

# As that of Qwen2.5-Omni: a system message if there is none, no line between
# sound and text.
QWEN = (
  '{% set count = namespace(value=0) %}{% for m in messages %}'
  "{% if loop.first and m['role'] != 'system' %}"
  '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}'
  "<|im_start|>{{ m['role'] }}\n"
  "{% if m['content'] is string %}{{ m['content'] }}<|im_end|>\n"
  "{% else %}{% for part in m['content'] %}"
  "{% if part['type'] == 'audio' or 'audio' in part %}"
  '{% set count.value = count.value + 1 %}'
  '<|audio_bos|><|AUDIO|><|audio_eos|>'
  "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}"
  '<|im_end|>\n{% endif %}{% endfor %}'
  '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tokenizer')
  tones.write_tokenizer(folder)
  return folder


@pytest.fixture
def folder(made, tmp_path):
  """A copy of its own: tokenizers are kept by their folder."""
  for file in made.iterdir():
    (tmp_path / file.name).write_bytes(file.read_bytes())
  return tmp_path


def ids(folder):
  words = load_tokenizer(folder)
  return words.convert_tokens_to_ids(['<|AUDIO|>', '<|IMAGE|>', '<|VIDEO|>'])


def with_template(folder, template):
  (folder / 'chat_template.jinja').write_text(template)
  load_tokenizer.cache_clear()
  return folder


def loaded(folder, **settings):
  marker, *others = ids(folder)
  return load_sound_tokenizer(folder, marker, others, **settings)


def test_the_marker_is_repeated_as_if_before_tokenizing(folder):
  tokenizer = loaded(with_template(folder, QWEN))
  text = tokenizer.encode('How many\n["a", "b"]?')
  assert tokenizer.chat.decode_raw(text.tokens) == (
    '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n'
    '<|im_start|>user\n<|audio_bos|><|AUDIO|><|audio_eos|>'
    'How many\n["a", "b"]?<|im_end|>\n<|im_start|>assistant\n'
  )
  shown = tokenizer.chat.decode_raw(text.tokens)
  expanded = shown.replace('<|AUDIO|>', '<|AUDIO|>' * 7)
  whole = load_tokenizer(folder)(expanded, add_special_tokens=False)
  assert text.expanded(7) == whole['input_ids']


def test_a_sound_of_n_tokens_stands_where_the_marker_is():
  text = SoundText((5, 9, 6, 7), 1)
  assert text.expanded(3) == [5, 9, 9, 9, 6, 7]
  assert text.length(3) == 6
  assert SoundText((9, 8), 0).expanded(1) == [9, 8]


@pytest.mark.parametrize('word', ['<|AUDIO|>', '<|IMAGE|>', '<|VIDEO|>'])
def test_a_text_with_a_reserved_word_is_refused(word, made):
  tokenizer = loaded(made)
  assert word in tokenizer.reserved
  with pytest.raises(ValueError, match=f'without {word[:2]}'):
    tokenizer.encode(f'what is {word}?')
  assert tokenizer.encode('what is | AUDIO |?')


def test_an_older_folder_has_its_template_beside(folder):
  """That of the tokenizer leaves the sound out."""
  plain = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
  file = folder / 'tokenizer_config.json'
  fields = json.loads(file.read_text()) | {'chat_template': plain}
  file.write_text(json.dumps(fields))
  (folder / 'chat_template.jinja').unlink(missing_ok=True)
  (folder / 'chat_template.json').write_text(
    json.dumps({'chat_template': QWEN})
  )
  load_tokenizer.cache_clear()
  tokenizer = loaded(folder, system='Be brief.')
  shown = tokenizer.chat.decode_raw(tokenizer.encode('a?').tokens)
  assert shown.startswith('<|im_start|>system\nBe brief.<|im_end|>\n<|im_start')
  (folder / 'chat_template.json').write_text('{"chat_template": []}')
  with pytest.raises(InputError, match=r'chat_template in .*\.json, got'):
    loaded(folder)


def test_a_template_without_sounds_is_named(folder):
  with_template(folder, "{{ messages[-1]['content'][1]['text'] }}")
  with pytest.raises(InputError, match=r'\(<\|AUDIO\|>\) once .* got 0 of it'):
    loaded(folder)
  with_template(
    folder, "<|AUDIO|><|AUDIO|>{{ messages[-1]['content'][1]['text'] }}"
  )
  with pytest.raises(InputError, match='got 2 of it'):
    loaded(folder)


def test_a_completion_ends_as_it_does_for_texts(made):
  tokenizer = loaded(made)
  end = load_tokenizer(made).convert_tokens_to_ids('<|im_end|>')
  assert end in tokenizer.chat.stop_ids
