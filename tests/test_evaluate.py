"""An evaluation by hand: each held-out prompt counts once."""

import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.evaluate import make_evaluate, with_further
from adrpo_jax.types import LossTerms, Modality, PromptBatch, Scores

PROMPTS, GROUP = 5, 2
LENGTHS = np.array([1.0, 2.0, 3.0, 4.0, 10.0])  # of the prompts


def by_length(batch, **more):
  """An evaluation whose samples and scores are the lengths of prompts."""

  def loss_terms(params, frozen, anchors, samples, prompts, weights, keys):
    ones = jnp.ones((*samples.shape, 1))
    divergence = {'divergence': samples[..., None]}
    return LossTerms(ones, (), ones, divergence)

  modality = Modality(
    rollout=lambda params, frozen, prompts, key: jnp.repeat(
      jnp.asarray(LENGTHS)[prompts.ids][:, None], GROUP, 1
    ),
    decode=lambda frozen, samples: samples,
    loss_terms=loss_terms,
    measures=lambda decoded: {'diversity_length': decoded.mean(1)},
    entries=lambda samples: jnp.ones(samples.shape),
  )
  return make_evaluate(
    modality,
    lambda prompts, decoded: Scores(decoded, decoded > 0, {}),
    lambda decoded, facts: {},
    lambda ids: PromptBatch.of_step(ids.astype(np.int32)),
    ['short', 'short', 'long', 'long', 'long'],
    arrays=lambda decoded: {'lengths': decoded},
    diagnosed=(),
    samples_per_prompt=GROUP,
    batch=batch,
    **more,
  )


def test_a_control_asks_other_prompts_and_changes_no_other_figure():
  def first(batch):
    return batch.replace(ids=np.zeros_like(batch.ids))

  plain = by_length(2)({}, {'reference': {}})
  controlled = by_length(2, controls={'same': first})({}, {'reference': {}})
  assert controlled.figures == plain.figures | {'same': 1.0, 'same_se': 0.0}


def test_further_evaluations_add_figures_under_their_names():
  first, calls = by_length(2), []

  def twice(params, frozen, between):
    """Another evaluation, of which everything is doubled."""
    between()
    found = first(params, frozen)
    doubled = {'reward': 8.0, 'reward_se': 1.5, 'by_category': {'long': 2.0}}
    return found._replace(figures=doubled | {'samples': 10})

  evaluate = with_further(first, {'guidance_4.5': twice})
  got = evaluate({}, {'reference': {}}, lambda: calls.append(1))
  plain = first({}, {'reference': {}})
  assert got.figures == plain.figures | {
    'reward_guidance_4.5': 8.0,
    'reward_guidance_4.5_se': 1.5,
    'by_category_guidance_4.5': {'long': 2.0},
  }
  assert list(got.by_prompt) == list(plain.by_prompt)
  assert len(calls) == 4  # three batches, and the other evaluation
  assert with_further(first, {}) is first


@pytest.mark.parametrize('batch', [1, 2, 5, 8])
def test_prompts_that_fill_up_a_batch_do_not_count(batch):
  evaluation = by_length(batch)({}, {'reference': {}})
  figures = evaluation.figures
  assert figures['reward'] == pytest.approx(4.0)
  error = LENGTHS.std(ddof=1) / np.sqrt(PROMPTS)
  assert figures['reward_se'] == pytest.approx(error)
  assert figures['divergence'] == pytest.approx(4.0)
  assert figures['diversity'] == pytest.approx(4.0)
  assert figures['by_category'] == pytest.approx({'short': 1.5, 'long': 17 / 3})
  assert figures['samples'] == PROMPTS * GROUP
  np.testing.assert_array_equal(
    evaluation.samples['lengths'], LENGTHS[:, None].repeat(GROUP, 1)
  )
