"""The tokenizer of the tones world, in the layout of Qwen2.5-Omni.

It is a byte-level BPE trained on the world's own sentences: every word of them
is one token, and any other text is bytes. The special tokens have Qwen's names.
A conversation is its turns one after the other, each with its end token.
"""

from collections.abc import Iterator
import pathlib

from adrpo_jax.worlds.tones import questions
from adrpo_jax.worlds.tones.events import EVENTS
from adrpo_jax.worlds.tones.items import completion

AUDIO, AUDIO_START, AUDIO_END = '<|AUDIO|>', '<|audio_bos|>', '<|audio_eos|>'
PAD, END = '<|endoftext|>', '<|im_end|>'
SPECIAL = (
  PAD,
  '<|im_start|>',
  END,
  AUDIO,
  AUDIO_START,
  AUDIO_END,
  '<|IMAGE|>',
  '<|VIDEO|>',
  '<|vision_bos|>',
  '<|vision_eos|>',
)
# A tag or a word, with the space before it, or any other character.
WORDS = r' ?</?[a-z]+>| ?\w+|\W'
MOST_TOKENS = 2000  # far more than these sentences need
# The content of a turn is a text, or a list of {'type': 'audio'} and texts.
CHAT_TEMPLATE = (
  '{%- for m in messages %}'
  '{%- if m["content"] is string %}{{ m["content"] }}'
  '{%- else %}{%- for part in m["content"] %}'
  '{%- if part["type"] == "audio" %}'
  + AUDIO_START
  + AUDIO
  + AUDIO_END
  + '{%- else %}{{ part["text"] }}{%- endif %}'
  '{%- endfor %}{%- endif %}' + END + '{%- endfor %}'
)


def sentences() -> Iterator[str]:
  """Yields sentences with every word of the world at each of its places."""
  for category, listed in questions.QUESTIONS.items():
    kinds = tuple(EVENTS[category])
    for forms in listed:
      for question in forms:
        for i in range(len(question.options)):
          turned = question.options[i:] + question.options[:i]
          yield questions.written(question, turned)
          yield completion(kinds, turned[0])
          yield completion(kinds, turned[0]).partition('</think> ')[2]


def write_tokenizer(folder: pathlib.Path) -> None:
  """Writes tokenizer.json and its companions into a folder, made if missing.

  Padding is on the left, since prompts are continued on the right.
  """
  import tokenizers
  from tokenizers import decoders, models, pre_tokenizers, trainers
  import transformers

  words = tokenizers.Tokenizer(models.BPE())
  words.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split(tokenizers.Regex(WORDS), 'isolated'),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
  )
  words.decoder = decoders.ByteLevel()
  words.train_from_iterator(
    sentences(),
    trainers.BpeTrainer(
      vocab_size=MOST_TOKENS,
      special_tokens=list(SPECIAL),
      initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
      show_progress=False,
    ),
  )
  tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=words,
    pad_token=PAD,
    eos_token=END,
    padding_side='left',
    clean_up_tokenization_spaces=False,
    chat_template=CHAT_TEMPLATE,
  )
  folder.mkdir(parents=True, exist_ok=True)
  tokenizer.save_pretrained(str(folder))
