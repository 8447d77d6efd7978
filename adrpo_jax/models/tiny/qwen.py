"""A random Qwen2 of a few thousand weights, in the layout of transformers.

It allows trying the whole path of a real model on a laptop: config, weights, a
tokenizer of bytes with the special tokens of Qwen, and a chat template. Its
completions are noise.
"""

from collections.abc import Sequence
import pathlib

import jax

from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder, DecoderConfig
from adrpo_jax.models.files.config_files import write_json

SPECIAL = ('<|endoftext|>', '<|im_start|>', '<|im_end|>')
CHAT_TEMPLATE = (
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] "
  "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}"
  "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONFIG = DecoderConfig(
  vocab_size=272,  # 256 bytes, three special tokens, and unused rows
  hidden_size=32,
  intermediate_size=64,
  num_hidden_layers=2,
  num_attention_heads=4,
  num_key_value_heads=2,
  head_dim=8,
  rms_norm_eps=1e-6,
  rope_theta=1e4,
  tie_word_embeddings=True,
  attention_bias=True,
  qk_norm=False,
)


def write(folder: pathlib.Path) -> pathlib.Path:
  """Writes the model, and returns its folder."""
  folder.mkdir(parents=True, exist_ok=True)
  write_tokenizer(folder)
  init = jax.jit(lambda key: decoder_folder.init_params(Decoder(CONFIG), key))
  params = init(jax.random.key(0))
  decoder_folder.save(folder, decoder_folder.config_fields(CONFIG), params)
  stop_ids = [256 + SPECIAL.index('<|im_end|>'), 256]
  write_json(
    folder / 'generation_config.json',
    {'eos_token_id': stop_ids, 'pad_token_id': 256},
  )
  return folder


def write_tokenizer(
  folder: pathlib.Path,
  special: Sequence[str] = SPECIAL,
  chat_template: str = CHAT_TEMPLATE,
) -> None:
  """Writes tokenizer.json and its companions: bytes, without merges.

  Args:
    folder: exists.
    special: the special tokens, whose ids follow those of the 256 bytes.
    chat_template: of Jinja.
  """
  import tokenizers
  from tokenizers import decoders, models, pre_tokenizers
  import transformers

  letters = sorted(pre_tokenizers.ByteLevel.alphabet())
  bytewise = tokenizers.Tokenizer(
    models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[])
  )
  bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  bytewise.decoder = decoders.ByteLevel()
  bytewise.add_special_tokens(list(special))
  transformers.PreTrainedTokenizerFast(
    tokenizer_object=bytewise,
    eos_token='<|im_end|>',
    pad_token='<|endoftext|>',
    additional_special_tokens=list(special),
    chat_template=chat_template,
    clean_up_tokenization_spaces=False,
  ).save_pretrained(str(folder))
