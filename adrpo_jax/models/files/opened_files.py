"""The names of the files that are opened in the folder of each kind of model.

Repositories on the Hub hold the same weights several times: single-file
checkpoints, half precision, other frameworks. What is not opened is not
fetched. A `?` stands for any character.
"""

from collections.abc import Iterable

from adrpo_jax.models.files.tensor_files import STEMS

TOKENIZER = (
  'added_tokens.json',
  'additional_chat_templates/*.jinja',
  'chat_template.jinja',
  'chat_template.json',
  'merges.txt',
  'sentencepiece.bpe.model',
  'special_tokens_map.json',
  'spiece.model',
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
  'vocab.json',
  'vocab.txt',
)
WEIGHTS = tuple(
  f'{stem}{ending}'
  for stem in STEMS
  for ending in (
    '.safetensors',
    '.safetensors.index.json',
    '-?????-of-?????.safetensors',
  )
)


def below(folders: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
  """Returns the paths of these files in each of these folders."""
  names = tuple(names)
  return tuple(f'{folder}/{name}' for folder in folders for name in names)


DECODER = ('config.json', 'generation_config.json', *WEIGHTS, *TOKENIZER)
OMNI = ('preprocessor_config.json', 'processor_config.json', *DECODER)
CLIP_BASE = (
  'config.json',
  'preprocessor_config.json',
  'processor_config.json',
  *TOKENIZER,
)
CLIP = (*CLIP_BASE, *WEIGHTS)
SD3_CONFIGS = (
  'model_index.json',
  'scheduler/scheduler_config.json',
  *below(('transformer', 'vae'), ('config.json',)),
)
_NUMBERS = ('', '_2', '_3')
SD3 = (
  *SD3_CONFIGS,
  *below(('transformer', 'vae'), WEIGHTS),
  *below(
    (f'text_encoder{number}' for number in _NUMBERS), ('config.json', *WEIGHTS)
  ),
  *below((f'tokenizer{number}' for number in _NUMBERS), TOKENIZER),
)
