"""The tokenizer of the sort worlds: one token a character, in HF's format.

Its folder is like that of any language model: `transformers.AutoTokenizer`
reads it offline. The vocabulary has 42 tokens; every other character is one
`<unk>`. Nothing precedes a prompt, and a conversation is its turns one after
the other, with the end token behind the turn of the assistant.
"""

import pathlib
import string

SPECIAL = ('<pad>', '<eos>', '<unk>')
CHARACTERS = ' :=' + string.digits + string.ascii_lowercase
VOCABULARY = (*SPECIAL, *CHARACTERS)
CHAT_TEMPLATE = (
  '{% for m in messages %}{{ m["content"] }}'
  '{% if m["role"] == "assistant" %}{{ eos_token }}{% endif %}{% endfor %}'
)


def write_tokenizer(folder: pathlib.Path) -> None:
  """Writes tokenizer.json and its companions into a folder, made if missing.

  Ids are indices into VOCABULARY. Padding is on the left, since prompts are
  continued on the right.
  """
  import tokenizers
  from tokenizers import decoders, models
  import transformers

  # Byte pairs without merges: every character is a token.
  characters = tokenizers.Tokenizer(
    models.BPE(
      vocab={token: i for i, token in enumerate(VOCABULARY)},
      merges=[],
      unk_token='<unk>',
    )
  )
  characters.decoder = decoders.Fuse()
  tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=characters,
    pad_token='<pad>',
    eos_token='<eos>',
    unk_token='<unk>',
    padding_side='left',
    clean_up_tokenization_spaces=False,
    chat_template=CHAT_TEMPLATE,
  )
  folder.mkdir(parents=True, exist_ok=True)
  tokenizer.save_pretrained(str(folder))
