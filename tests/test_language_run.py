"""Language models by the command line: the real layout, and what is refused."""

import json
import logging
import re

import numpy as np
import pytest
import small_run

from adrpo_jax.builders.tasks.texts import within
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder.chat_tokenizer import load_chat_tokenizer
from adrpo_jax.models.tiny import qwen as qwen_tiny
from adrpo_jax.samples import text_file


@pytest.fixture(scope='module')
def ran(tmp_path_factory):
  """Flags and workdir of a run of two steps with adapters, all of it."""
  workdir = tmp_path_factory.mktemp('language') / 'run'
  flags = small_run.arguments(file='llm', steps=2, model__lora_rank=2)
  flags = [*flags, f'--workdir={workdir}']
  status, out, err = small_run.call(*flags)
  assert status == 0, err
  assert 'Report: ' in out
  return flags, workdir


@pytest.mark.slow
def test_a_run_leaves_all_that_a_run_of_images_leaves(ran):
  _, workdir = ran
  summary = json.loads((workdir / 'summary.json').read_text())
  assert summary['method'] == 'adrpo'
  for name in ('reward', 'divergence', 'length', 'truncated'):
    assert np.isfinite(summary['final'][name]), name
  lines = small_run.records(workdir / 'metrics.jsonl')
  assert [line['step'] for line in lines] == [0, 1]
  assert {
    *('entropy', 'length', 'truncated', 'past_flip', 'tokens_per_second'),
    *('divergence', 'divergence_good', 'divergence_poor'),
    *('beta_mean', 'beta_min', 'beta_max', 'beta_negative'),
    *('log_ratio_quantiles', 'log_prob_replay_quantiles'),
  } <= set(lines[0])
  assert max(line['log_prob_replay_max'] for line in lines) <= 1e-5
  kept = text_file.read(workdir / 'samples' / 'final.npz')
  assert kept.answers.shape == kept.rewards.shape == (8, 2)
  assert np.abs(kept.divergences).max() > 0
  assert kept.prompts[0] in (workdir / 'report.html').read_text()


@pytest.mark.slow
def test_answers_to_any_prompt_are_drawn(ran):
  flags, workdir = ran
  status, out, err = small_run.call(
    *flags, '--mode=sample', '--prompt=What is 2 plus 2?', '--count=3'
  )
  assert status == 0, err
  (line,) = small_run.records(workdir / 'drawn' / 'answers.jsonl')
  assert line['prompt'] == 'What is 2 plus 2?'
  assert len(line['answers']) == 3
  assert '3 answers in ' in out


@pytest.mark.slow
def test_a_prompt_beyond_the_window_is_not_drawn_for(ran):
  flags, _ = ran
  status, _, err = small_run.call(
    *flags, '--mode=sample', f'--prompt={"far " * 200}'
  )
  assert status == 2
  assert 'at most 256 tokens' in err
  assert '--config.prompts.max_prompt_length' in err


def refused(**changes):
  config = small_run.make_config(file='llm', **changes)
  with pytest.raises(InputError) as error:
    small_run.build(config)
  return str(error.value)


@pytest.fixture
def folder(tmp_path):
  """A folder of the tiny model, to be spoilt."""
  return qwen_tiny.write(tmp_path / 'model')


def test_a_missing_chat_template_is_named_with_the_way_out(folder):
  for file in folder.glob('chat_template*'):
    file.unlink()
  config = folder / 'tokenizer_config.json'
  fields = json.loads(config.read_text())
  fields.pop('chat_template', None)
  config.write_text(json.dumps(fields))
  told = refused(model__family='decoder', model__path=str(folder))
  assert 'Expected a chat template' in told
  assert '--config.model.template=none' in told
  plain = load_chat_tokenizer(folder, 'none')
  assert plain.decode(plain.encode('2 + 2 =')) == '2 + 2 ='


def test_a_tokenizer_with_tokens_that_the_model_lacks_is_refused(folder):
  path = folder / 'config.json'
  fields = json.loads(path.read_text())
  path.write_text(json.dumps(fields | {'vocab_size': 200}))
  told = refused(model__family='decoder', model__path=str(folder))
  assert 'ids below 200' in told
  assert 'got 258 (59 such ids)' in told


def test_an_end_that_the_model_has_no_row_for_is_refused(folder):
  path = folder / 'generation_config.json'
  path.write_text('{"eos_token_id": [258, 300]}')
  told = refused(model__family='decoder', model__path=str(folder))
  assert 'ids below 272' in told
  assert 'got 300 (1 such ids)' in told


def test_a_folder_is_asked_for():
  assert '--config.model.path' in refused(model__family='decoder')


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'method__adrpo__kl': 'k1'}, "Take 'ratio_k3', the reverse KL."),
    ({'sampler__temperature': 0.0}, 'sampler.temperature to be a number above'),
    ({'eval__temperature': 0.0}, 'all be the same, got 0 and 2 samples'),
    ({'sampler__top_p': 0.0}, 'a number above 0 and at most 1'),
    ({'model__template': 'chats'}, "Did you mean 'chat'"),
    ({'prompts__max_prompt_length': 8}, 'Expected prompts of at most 8 tokens'),
    ({'reward__monitor_only': ('exakt_match',)}, "Did you mean 'exact_match'"),
    ({'sampler__max_completion_length': 32768}, '256 and .*=32768. Lower'),
    ({'model__template_arguments': 'thinking=False'}, "got 'thinking', which"),
    ({'model__template_arguments': 'enable_thinking'}, 'keyword arguments'),
    ({'model__template_arguments': 'a=b'}, 'keyword arguments that are'),
  ],
  ids=str,
)
def test_settings_that_cannot_be_are_refused(changes, said):
  assert re.search(said, refused(**changes))


def test_greedy_answers_of_one_sample_can_be_evaluated():
  config = small_run.make_config(
    file='llm', eval__temperature=0.0, eval__group_size=1
  )
  run = small_run.build(config)
  reference = run.frozen['reference']
  first, again = (run.evaluate(reference, run.frozen) for _ in range(2))
  tokens = first.samples['tokens']
  np.testing.assert_array_equal(tokens, again.samples['tokens'])
  assert tokens.shape[1] == 1


def test_prompts_that_are_too_long_are_left_out_and_counted(tmp_path, caplog):
  tokenizer = load_chat_tokenizer(qwen_tiny.write(tmp_path / 'model'), 'none')
  prompts = PromptSet(('a' * 9, 'b' * 5, 'c' * 7), ('x', 'y', 'z'))
  with caplog.at_level(logging.WARNING):
    kept = within(prompts, tokenizer, 7, 'those.txt')
  assert kept.texts == ('b' * 5, 'c' * 7)
  assert kept.categories == ('y', 'z')
  assert '1 of 3 prompts of those.txt are longer than 7' in caplog.text


def test_steps_are_compiled_once_for_a_length_of_prompts():
  run = small_run.build(small_run.make_config(file='llm'))
  lengths = {
    run.prompts_of(np.array([i])).condition['tokens'].shape for i in range(8)
  }
  assert lengths <= {(1, 64), (1, 128)}
