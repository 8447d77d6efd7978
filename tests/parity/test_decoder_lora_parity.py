"""PEFT loads our folder of a decoder's adapters, and we load its folder."""

import json

import jax
import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')
peft = pytest.importorskip('peft')

from closeness import distance
import tiny_decoders
from tiny_decoders import MASK

from adrpo_jax.models import lora
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder import weight_table as decoder_table
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.models.files import lora_files

pytestmark = pytest.mark.parity

ROWS = decoder_table.decoder_rows()
ATTENTION = r'[qv]_proj/dense/kernel$'


def _both(kind, folder):
  """(theirs, ours, our parameters) with the same base weights."""
  model = tiny_decoders.theirs(kind)
  model.save_pretrained(folder)
  ours = Decoder(decoder_folder.read(folder).config, Compute(scan_layers=True))
  return model, ours, tiny_decoders.load(folder)


def _trained(params, rank, targets, key=0):
  """Adapters as after training: B is not 0."""
  adapters = lora.init(params, rank, jax.random.key(key), targets)
  keys = iter(jax.random.split(jax.random.key(key + 1), 99))
  return {
    name: pair | {'b': 0.3 * jax.random.normal(next(keys), pair['b'].shape)}
    for name, pair in adapters.items()
  }


@pytest.mark.parametrize('case', ['all', 'attention', 'two ranks'])
@pytest.mark.parametrize('kind', tiny_decoders.KINDS)
def test_ours_loads_in_peft(kind, case, tmp_path):
  model, ours, params = _both(kind, tmp_path / 'base')
  targets = ATTENTION if case == 'attention' else lora.DECODER
  adapters = _trained(params, 4, targets)
  if case == 'two ranks':
    adapters |= _trained(params, 3, r'up_proj/dense/kernel$', 5)
  before = tiny_decoders.their_logits(model).detach().numpy()
  # 2.5 = alpha/r, and not a whole alpha for the rank of 3.
  lora_files.save_peft(tmp_path / 'adapter', ROWS, adapters, 2.5, 'base')
  attached = lora.attach(params, adapters, 2.5)
  ours_logits = tiny_decoders.compiled(ours, attached)
  wrapped = peft.PeftModel.from_pretrained(model, str(tmp_path / 'adapter'))
  theirs = tiny_decoders.their_logits(wrapped.eval()).detach().numpy()
  assert distance(before[MASK], theirs[MASK]) > 0.05
  assert distance(ours_logits[MASK], theirs[MASK]) < 1e-4
  again = lora_files.load(tmp_path / 'adapter', ROWS, params)
  assert set(again) == set(adapters)
  back = tiny_decoders.compiled(ours, lora.attach(params, again, 1.0))
  assert distance(back[MASK], ours_logits[MASK]) < 1e-5


@pytest.mark.parametrize('rslora', [False, True], ids=['plain', 'rslora'])
def test_theirs_loads_here(rslora, tmp_path):
  model, ours, params = _both('Qwen2', tmp_path / 'base')
  torch.manual_seed(1)
  settings = peft.LoraConfig(
    task_type='CAUSAL_LM',
    r=3,
    lora_alpha=7,
    use_rslora=rslora,
    init_lora_weights=False,  # Random: B is not 0.
    target_modules='all-linear',
  )
  wrapped = peft.get_peft_model(model, settings).eval()
  wrapped.save_pretrained(tmp_path / 'adapter')
  written = (tmp_path / 'adapter' / 'adapter_config.json').read_text()
  assert json.loads(written)['lora_alpha'] == 7
  adapters = lora_files.load(tmp_path / 'adapter', ROWS, params)
  assert len(adapters) == 7
  ours_logits = tiny_decoders.compiled(ours, lora.attach(params, adapters, 1.0))
  plain = tiny_decoders.compiled(ours, params)
  theirs = tiny_decoders.their_logits(wrapped).detach().numpy()
  assert distance(plain[MASK], theirs[MASK]) > 0.01
  assert distance(ours_logits[MASK], theirs[MASK]) < 1e-4
