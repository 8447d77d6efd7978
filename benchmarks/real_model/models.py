"""A language model by its folder, in transformers: the base, or one trained."""

import json
import pathlib
from typing import Any, NamedTuple

from adrpo_jax.errors import InputError


class Model(NamedTuple):
  """A model of transformers in float32, and its tokenizer."""

  model: Any
  tokenizer: Any


def load(folder: pathlib.Path) -> Model:
  """Loads a folder of transformers or of peft, or the export of a workdir.

  The model is on the GPU, where PyTorch has one.

  Raises:
    InputError: there is none.
  """
  import torch
  import transformers

  found = exported(folder)
  adapter = found / 'adapter_config.json'
  if adapter.exists():
    import peft

    base = json.loads(adapter.read_text())['base_model_name_or_path']
    model = peft.PeftModel.from_pretrained(
      load(pathlib.Path(base)).model, str(found)
    )
  else:
    base = str(found)
    model = transformers.AutoModelForCausalLM.from_pretrained(
      base, dtype=torch.float32
    )
  tokenizer = transformers.AutoTokenizer.from_pretrained(base)
  if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  return Model(model.eval().to(device), tokenizer)


def exported(folder: pathlib.Path) -> pathlib.Path:
  """Returns the folder with the files of a model, in a workdir its export."""
  places = [folder, folder / 'export', *sorted(folder.glob('export/*/'))]
  for place in places:
    if any((place / f'{n}config.json').exists() for n in ('adapter_', '')):
      if (place / 'metrics.jsonl').exists():  # The config.json of a run.
        continue
      return place
  raise InputError(
    f'Expected a folder of transformers or peft, or a workdir with an export, '
    f'at {folder}. Of a run write it first: python -m adrpo_jax.main '
    f'--config=... --workdir={folder} --mode=export'
  )


def in_chat(tokenizer: Any, text: str) -> str:
  """Returns the start of a chat in which the user says a text."""
  return tokenizer.apply_chat_template(
    [{'role': 'user', 'content': text}],
    tokenize=False,
    add_generation_prompt=True,
  )


def answers(
  of: Model, starts: list[str], longest: int, *, sample: bool, batch: int = 25
) -> list[tuple[str, int]]:
  """Returns (text, tokens) behind each start, greedy or at temperature 1.

  The end token is none of them. Samples are those of the seed 0.
  """
  import torch
  import transformers

  transformers.set_seed(0)
  of.tokenizer.padding_side = 'left'
  said = []
  for first in range(0, len(starts), batch):
    asked = of.tokenizer(
      starts[first : first + batch], return_tensors='pt', padding=True
    ).to(of.model.device)
    choice = {'temperature': 1.0, 'top_k': 0, 'top_p': 1.0} if sample else {}
    with torch.inference_mode():
      rows = of.model.generate(
        **asked, max_new_tokens=longest, do_sample=sample, **choice
      )
    for row in rows[:, asked['input_ids'].shape[1] :].tolist():
      end = of.tokenizer.eos_token_id
      ids = row[: row.index(end)] if end in row else row
      said.append(
        (of.tokenizer.decode(ids, skip_special_tokens=True), len(ids))
      )
  return said
