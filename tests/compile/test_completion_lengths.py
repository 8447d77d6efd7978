"""Rollouts of a language model under a distribution of lengths."""

import pytest
from small_decoders import QWEN2
import small_run

from adrpo_jax.compile import programs
from adrpo_jax.compile import report as compile_report
from adrpo_jax.compile.completion_lengths import (
  CompletionLengths,
  parse,
  token_steps_of,
)
from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder.architectures import ARCHITECTURES

MESH = {'data': 2, 'fsdp': 2, 'tensor': 1}


def make_config(**changes):
  settings = {
    'prompts.prompts_per_step': 8,
    'prompts.group_size': 4,
    'prompts.max_prompt_length': 16,
    'sampler.max_completion_length': 32,
    'eval.batch_size': 4,
    'compute.microbatches': 1,
    'compute.logits_chunk': 8,
    'mesh.fsdp': 4,
  }
  given = {name.replace('__', '.'): v for name, v in changes.items()}
  return small_run.preset_config('qwen3_0p6b', settings | given, 'llm')


def test_lengths_have_their_mean_and_spread_within_the_room():
  lengths = CompletionLengths(200.0, 80.0)
  drawn = lengths.draw((100, 200), 10_000)
  assert drawn.mean() == pytest.approx(200, rel=0.02)
  assert drawn.std() == pytest.approx(80, rel=0.05)
  assert lengths.draw((100, 200), 150).max() == 150
  assert (CompletionLengths(5.0, 0.0).draw((3,), 9) == 5).all()


@pytest.mark.parametrize('text', ['256', 'long:short', '0:1', '5:-1', 'nan:1'])
def test_other_words_are_refused(text):
  with pytest.raises(InputError, match='MEAN:SPREAD'):
    parse(text)


def test_lengths_are_of_language_models():
  assert parse('') is None
  assert parse('256:200') == (256, 200)
  images = small_run.preset_config('sd3_medium', {})
  assert token_steps_of(images, MESH, None) == {}
  with pytest.raises(InputError, match='draws no tokens'):
    token_steps_of(images, MESH, CompletionLengths(9, 1))


def test_without_lengths_all_completions_fill_their_room():
  """Two chunks of 16 completions and 4 devices; an evaluation has 16 too."""
  config = make_config()
  steps = token_steps_of(config, MESH, None)
  assert {name: s.batches for name, s in steps.items()} == {
    'rollout': ((16, 32),),
    'evaluation': ((16, 32),),
  }
  turns = token_steps_of(make_config(sampler__max_num_seqs=8), MESH, None)
  assert turns['rollout'].batches == ((8, 64), (4, 0))


@pytest.mark.slow
def test_a_rollout_costs_what_its_lengths_need(monkeypatch):
  """Compiled for four chips, all rows at once and in turns."""
  pytest.importorskip('libtpu')
  monkeypatch.setitem(ARCHITECTURES, 'qwen3_0p6b', QWEN2)

  def rollout(rows):
    report = programs.compile_stages(
      make_config(sampler__max_num_seqs=rows),
      'v5e:2x2',
      lengths=CompletionLengths(8.0, 8.0),
      only=['rollout'],
    )
    return report, report['programs']['rollout']

  report, waiting = rollout(0)
  ((rows, steps),) = waiting['token_steps']['batches']
  assert rows == 16
  assert 8 < steps <= 32
  text = compile_report.table(report)
  assert f'of 8 ± 8 tokens: 16 rows {steps} times' in text
  _, turns = rollout(8)
  assert [rows for rows, _ in turns['token_steps']['batches']] == [8, 4]
  assert turns['model_flops'] == waiting['model_flops']
  # Without a row that waits, fewer products of the same tokens.
  assert turns['flops'] < waiting['flops']
  with pytest.raises(InputError, match='rollout'):
    programs.compile_stages(make_config(), 'v5e:2x2', only=['roll'])
