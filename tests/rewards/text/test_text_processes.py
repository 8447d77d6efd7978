"""Rewards of text on two processes: each reads its own, all have the scores."""

import textwrap

import both_processes
import pytest
import tiny_reward_model

PROGRAM = textwrap.dedent("""
  import made_answers
  import numpy as np
  from jax.sharding import NamedSharding, PartitionSpec
  from adrpo_jax import sharding
  from adrpo_jax.rewards.reward_model.chat_tokens import chat_tokens
  from adrpo_jax.rewards.reward_model.reward import reward_model
  from adrpo_jax.rewards.reward_model.scorer import make_scorer
  from adrpo_jax.rewards.text.protocol import TextPrompt
  from adrpo_jax.rewards.text_table import TEXT_REWARDS
  from adrpo_jax.types import PromptBatch
  import pathlib

  path = pathlib.Path(sys.argv[3])
  questions = [f'sort: {digit} 1 =' for digit in '2345']
  texts = [[f'1 {digit}', 'a' * 4 * int(digit)] for digit in '2345']
  mesh = sharding.make_mesh()
  placed = sharding.put_rows(
    mesh, {'ids': np.arange(4), **made_answers.samples(texts, 24)}
  )
  prompts = PromptBatch.of_step(placed.pop('ids'))
  shown = []

  def decode(ids):
    shown.append(made_answers.decode(ids))
    return shown[-1]

  given = tuple(map(TextPrompt, questions)), 0.0, decode
  scores = TEXT_REWARDS['sort'].make(*given)(prompts, placed)
  own = texts[:2] if sys.argv[2] == '0' else texts[2:]
  assert sorted(shown) == sorted(sum(own, []))
  np.testing.assert_array_equal(scores.rewards, [[1, 0]] * 4)
  np.testing.assert_array_equal(scores.measures['format'], [[1, 0]] * 4)

  shown.clear()
  scores = reward_model(
    *given, path=str(path), max_length=100, batch_size=3, fsdp=2
  )(prompts, placed)
  assert sorted(shown) == sorted(sum(own, []))
  assert scores.valid.all()
  # The same by one device, each process for itself.
  encode = chat_tokens(path)
  alone = sharding.make_mesh(1, devices=jax.local_devices()[:1])
  rows = [encode(q, a) for q, said in zip(questions, texts) for a in said]
  score = make_scorer(
    path, alone, max_length=100, batch_size=8, dtype='float32'
  )
  expected = score(rows)
  np.testing.assert_allclose(scores.rewards.ravel(), expected, atol=2e-5)
  assert np.ptp(expected) > 0.1
  print('agreed')
""")


@pytest.mark.slow
def test_two_processes_read_their_own_and_share_the_scores(tmp_path):
  tiny_reward_model.write(tmp_path)
  both_processes.agree(PROGRAM, tmp_path)
