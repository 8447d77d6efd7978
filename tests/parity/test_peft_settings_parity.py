"""PEFT itself gives modules the adapters and strengths that we read."""

import json

import pytest

torch = pytest.importorskip('torch')
peft = pytest.importorskip('peft')

from adrpo_jax.models.files.peft_settings import read_settings

pytestmark = pytest.mark.parity

NAMES = ('q_proj', 'gate_proj', 'up_proj')


def layers():
  def layer():
    linears = {name: torch.nn.Linear(3, 4) for name in NAMES}
    return torch.nn.ModuleDict({'mlp': torch.nn.ModuleDict(linears)})

  stack = torch.nn.ModuleList([layer() for _ in range(12)])
  return torch.nn.ModuleDict({'model': torch.nn.ModuleDict({'layers': stack})})


@pytest.mark.parametrize(
  'fields',
  [
    {'target_modules': list(NAMES)},
    {'target_modules': r'.*\.(gate|up)_proj'},
    {'target_modules': ['proj', 'up_proj']},
    {'alpha_pattern': {'gate|up_proj': 4}},
    {'alpha_pattern': {'gate_proj|up_proj': 4}},
    {'alpha_pattern': {'up_proj': 4, 'gate_proj': 2, '.*': 1}},
    {'alpha_pattern': {'layers.1.mlp.up_proj': 4}},
    {'alpha_pattern': {r'model\.layers\.1.*': 4}},
    {'alpha_pattern': {'ate_proj': 4, 'mlp.gate': 4, '^up_proj': 4}},
    {'rank_pattern': {'gate|up_proj': 2, 'q_proj': 8}},
    {'use_rslora': True, 'rank_pattern': {'layers.1[01].*': 2}},
    {'exclude_modules': ['up_proj']},
    {'exclude_modules': r'.*\.1\.mlp\.up_proj'},
    {'layers_to_transform': [1, 11]},
    {'layers_to_transform': 1, 'layers_pattern': 'layers'},
    {'layers_to_transform': [1], 'layers_pattern': ['blocks', 'layers']},
    {
      'layers_to_transform': [1],
      'target_modules': ['q_proj', 'model.layers.5.mlp.up_proj'],
    },
  ],
  ids=str,
)
def test_strengths_are_those_of_peft(fields, tmp_path):
  fields = {'target_modules': list(NAMES), 'r': 4, 'lora_alpha': 32} | fields
  peft.LoraConfig(**fields).save_pretrained(tmp_path)  # It sorts its fields.
  config = peft.LoraConfig.from_pretrained(tmp_path)
  model = peft.get_peft_model(layers(), config)
  path = tmp_path / 'adapter_config.json'
  settings = read_settings(json.loads(path.read_text()), path)
  theirs, ours = {}, {}
  for name, module in model.base_model.model.named_modules():
    if name.endswith(NAMES):
      theirs[name] = getattr(module, 'scaling', {}).get('default')
      rank = getattr(module, 'r', {}).get('default')
      adapted = settings.adapts(name)
      ours[name] = settings.strength(name, rank) if adapted else None
  assert len(theirs) == 36
  assert any(theirs.values())
  assert ours == theirs
