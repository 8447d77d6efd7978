"""The presets of the config files: what each changes, and nothing else."""

from flax.traverse_util import flatten_dict
import pytest
import small_run


def flat(file, preset='default'):
  config = small_run.preset_config(preset, {}, file)
  return flatten_dict(config.to_dict(), sep='.')


def module(file):
  return small_run.config_module(file)


def named(update):
  """The dotted keys that an update names."""
  return set(flatten_dict(update, sep='.'))


# File, preset, the preset or default that it starts from, its own update.
STARTS = [
  ('t2i', 'sd3_medium', 'default', 'SD3'),
  ('t2i', 'sd3_medium_colab', 'sd3_medium', 'SD3_COLAB'),
  ('t2i', 'sd3_tiny', 'sd3_medium', 'SD3_TINY'),
  ('t2i', 'compare', 'default', 'COMPARE'),
  ('t2i', 'paper', 'default', 'PAPER'),
  ('t2i', 'debug', 'default', 'DEBUG'),
  ('llm', 'qwen3_0p6b', 'default', 'QWEN'),
  ('llm', 'qwen2p5_7b', 'qwen3_0p6b', 'QWEN_7B'),
  ('llm', 'tiny_hf', 'qwen3_0p6b', 'TINY_HF'),
  ('llm', 'smollm2_135m', 'default', 'SMOLLM2'),
  ('llm', 'sort_or_pass', 'default', 'SORT_OR_PASS'),
  ('llm', 'compare', 'default', 'COMPARE'),
  ('llm', 'compare_sort_or_pass', 'sort_or_pass', 'COMPARE'),
  ('llm', 'paper', 'default', 'PAPER'),
  ('llm', 'debug', 'default', 'DEBUG'),
  ('audio', 'debug', 'default', 'DEBUG'),
  ('audio', 'compare', 'default', 'COMPARE'),
  ('audio', 'paper', 'default', 'PAPER'),
  ('pretrain', 'sort_or_pass', 'sort', 'SORT_OR_PASS'),
  ('pretrain', 'debug', 'shapes', 'DEBUG'),
]
RELEASED = {'model.architecture'}  # what sd3_medium and qwen* name besides


@pytest.mark.parametrize(('file', 'preset', 'start', 'update'), STARTS)
def test_a_preset_is_what_it_starts_from_but_for_the_keys_it_names(
  file, preset, start, update
):
  got, before = flat(file, preset), flat(file, start)
  own = getattr(module(file), update)
  names = named(own)
  for key in (got.keys() | before.keys()) - names - RELEASED:
    if key != 'compare':  # {} is a leaf until a preset fills it
      assert got.get(key) == before.get(key), key
  assert {key: got[key] for key in names} == flatten_dict(own, sep='.')


@pytest.mark.parametrize(
  ('file', 'one', 'other'),
  [
    ('t2i', 'sd3_medium', 'sd35_medium'),
    ('t2i', 'sd3_medium', 'sd35_large'),
    ('llm', 'qwen3_0p6b', 'qwen2_0p5b'),
  ],
)
def test_released_models_differ_by_their_architecture_alone(file, one, other):
  first, second = flat(file, one), flat(file, other)
  assert {k for k in first if first[k] != second[k]} == RELEASED
  assert second['model.architecture'] == other


@pytest.mark.parametrize('file', ['t2i', 'llm', 'audio', 'pretrain'])
def test_a_preset_adds_no_key(file):
  """A mistyped key of a preset would be one that nothing reads."""
  presets = module(file).PRESETS
  starts = {'pretrain': ['shapes', 'sort', 'tones']}.get(file, ['default'])
  known = {key for start in starts for key in flat(file, start)}
  for preset in presets:
    added = flat(file, preset).keys() - known
    assert {key for key in added if not key.startswith('compare.')} == set()


def test_values_that_a_shallow_merge_would_lose():
  tiny = small_run.preset_config('sd3_tiny', {}, 't2i')
  assert tiny.reward.normalize.clip_score == 'standard'
  tiny = small_run.preset_config('tiny_hf', {}, 'llm')
  assert tiny.training.updates_per_rollout == 1
  assert tiny.training.warmup_steps == 10
  assert tiny.compute.reward_chunks == 2
  released = small_run.preset_config('qwen3_0p6b', {}, 'llm')
  assert released.compute.logits_chunk == 128
