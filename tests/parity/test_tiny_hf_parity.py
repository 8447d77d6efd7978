"""transformers loads the model that a run of `:tiny_hf` exports."""

import pathlib

import numpy as np
import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')
peft = pytest.importorskip('peft')

from closeness import distance
import small_run
import tiny_decoders

from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.models.tiny import qwen as qwen_tiny

pytestmark = [pytest.mark.parity, pytest.mark.slow]

CONFIG = f'--config={small_run.ROOT}/configs/llm.py:tiny_hf'
WORDS = 'What is 7 plus 5? '


@pytest.mark.parametrize('rank', [2, 0])
def test_from_a_folder_to_a_model_that_transformers_loads(rank, tmp_path):
  changes = {'model.lora_rank': rank, 'training.learning_rate': 0.03}
  flags = [CONFIG, *(f'--config.{k}={v}' for k, v in changes.items())]
  for mode in ('train', 'export'):
    status, out, err = small_run.call(
      *flags, f'--mode={mode}', f'--workdir={tmp_path}'
    )
    assert status == 0, err
  assert (tmp_path / 'report.html').exists()
  exported = pathlib.Path(out.split('Exported: ')[1].strip()).parent

  with pytest.MonkeyPatch.context() as patch:
    environment = small_run.process_environment()
    patch.setenv('XDG_CACHE_HOME', environment['XDG_CACHE_HOME'])
    run = small_run.build(small_run.preset_config('tiny_hf', changes, 'llm'))
  folder = pathlib.Path(environment['XDG_CACHE_HOME']) / 'adrpo_jax/qwen_tiny'
  base = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
  words = transformers.AutoTokenizer.from_pretrained(
    folder if rank else exported
  )
  tokens = np.asarray([words(WORDS)['input_ids']])
  inputs = {'tokens': tokens, 'mask': np.ones_like(tokens, bool)}

  def theirs(model):
    with torch.no_grad():
      return tiny_decoders.their_logits(model, **inputs).numpy()

  plain = theirs(base)
  tuned = theirs(
    peft.PeftModel.from_pretrained(base, exported)
    if rank
    else transformers.AutoModelForCausalLM.from_pretrained(exported)
  )
  with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
    state = checkpoints.restore(run.abstract).state
  module = Decoder(qwen_tiny.CONFIG)
  full, reference = run.policy(state, run.frozen), run.frozen['reference']
  assert distance(plain, tuned) > 1e-3
  for params, expected in ((full, tuned), (reference, plain)):
    result = tiny_decoders.compiled(module, params, **inputs)
    assert distance(result, expected) < 1e-4
