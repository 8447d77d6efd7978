"""Compares the rewards of a reward model with transformers, text by text."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

import tiny_decoders

from adrpo_jax.models.files.tokenizers import text_decoder
from adrpo_jax.rewards.text.protocol import TextPrompt
from adrpo_jax.rewards.text_table import TEXT_REWARDS
from adrpo_jax.types import PromptBatch
from adrpo_jax.worlds import sort_tokenizer

pytestmark = pytest.mark.parity

QUESTIONS = ('sort: 7 3 =', 'say it ' * 12)
ANSWERS = (('3 7', ''), ('pass', 'a: 9 = z'))


def answered(tokenizer, max_length=12):
  """Samples whose completions are ANSWERS, ended."""
  tokens = np.zeros((2, 2, max_length), np.int32)
  mask = np.zeros((2, 2, max_length), bool)
  for p, g in np.ndindex(2, 2):
    ids = [*tokenizer.encode(ANSWERS[p][g]), tokenizer.eos_token_id]
    tokens[p, g, : len(ids)], mask[p, g, : len(ids)] = ids, True
  return {
    'tokens': tokens,
    'mask': mask,
    'log_prob': np.zeros(mask.shape, np.float32),
    'ended': np.ones((2, 2), bool),
  }


@pytest.mark.parametrize('template', ['chat', 'none'])
def test_scores(template, tmp_path):
  """A Qwen3 scores rows of two lengths; transformers scores them one by one."""
  theirs = tiny_decoders.theirs(
    'Qwen3', 'SequenceClassification', num_labels=1, pad_token_id=0
  )
  theirs.save_pretrained(tmp_path)
  sort_tokenizer.write_tokenizer(tmp_path)
  tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)

  def their_score(prompt, answer):
    turns = [
      {'role': 'user', 'content': prompt},
      {'role': 'assistant', 'content': answer},
    ]
    text = prompt + answer
    if template == 'chat':
      text = tokenizer.apply_chat_template(turns, tokenize=False)
    with torch.no_grad():
      return float(theirs(**tokenizer(text, return_tensors='pt')).logits[0, 0])

  expected = [
    [their_score(QUESTIONS[p], answer) for answer in ANSWERS[p]]
    for p in range(2)
  ]
  reward = TEXT_REWARDS['reward_model'].make(
    tuple(map(TextPrompt, QUESTIONS)),
    0.0,
    text_decoder(tmp_path),
    path=str(tmp_path),
    template=template,
    batch_size=3,
  )
  scores = reward(PromptBatch.of_step(np.arange(2)), answered(tokenizer))
  assert np.ptp(expected) > 0.1
  np.testing.assert_allclose(scores.rewards, expected, rtol=0, atol=2e-5)
