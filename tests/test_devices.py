"""A run on eight devices is the run on one, to rounding.

Both are whole `builders.Run`s in fp32 with the highest matmul precision. One
device draws and judges; what it drew trains every mesh. No weight of the base
is 0, and the policy is shaken off its reference. Where layers start at 0, as in
a new model, most gradients are no larger than rounding, and Adam divides them
by their size: tensors then differ by 2e-5 while raw gradients agree to 5e-7.
"""

import functools
import gc
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small_run

from adrpo_jax import builders
from adrpo_jax.models.shapes import base as base_models
from adrpo_jax.tree_names import leaf_names

TOLERANCE = 1e-5
# Of a decoder; 2.5e-5 were seen on a processor with AVX2 alone.
DECODER_TOLERANCE = 5e-5
STEPS = 3
AXES = ('mesh__data', 'mesh__fsdp', 'mesh__tensor')
ONE = (1, 1, 1)
MESHES = [(8, 1, 1), (1, 8, 1), (2, 2, 2), (1, 4, 2)]
LORA = (('model__lora_rank', 2),)
TWICE = (('training__updates_per_rollout', 2),)
PARTED = (('compute__microbatches', 2),)
LANGUAGE = (('file', 'llm'),)
AUDIO = (('file', 'audio'),)
# Both kinds of blocks of an MMDiT for it; for others the last one alone.
BLOCKS = {'adrpo': 2}
# Each row of the table on one mesh or another; `adrpo` on all of them.
CASES = [
  *[('adrpo', mesh, ()) for mesh in MESHES],
  ('adrpo', (2, 2, 2), LORA),
  ('adrpo', (1, 8, 1), TWICE),
  ('adrpo', (2, 2, 2), PARTED),
  ('orw_cfm_w2', (2, 2, 2), ()),
  ('fixed_w2', (1, 8, 1), LORA),
  ('nft', (1, 4, 2), ()),
  ('ram', (2, 2, 2), ()),
  ('awm', (1, 8, 1), ()),
  ('raft', (8, 1, 1), ()),
  ('rwr', (1, 4, 2), ()),
  # β multiplies the rounding of ⟨(v − u)²⟩ too, which 100 takes past 1e-5.
  ('dpo', (2, 2, 2), (('method__dpo__beta', 10.0),)),
  ('flow_grpo', (2, 2, 2), ()),
  ('adrpo', (1, 8, 1), LANGUAGE),
  ('adrpo', (2, 2, 2), LANGUAGE + PARTED),
  ('grpo', (1, 4, 2), LANGUAGE + TWICE),
  ('rloo', (8, 1, 1), LANGUAGE + LORA),
  ('dpo', (2, 2, 2), LANGUAGE),
  ('adrpo', (2, 2, 2), AUDIO),
]


class Step(NamedTuple):
  """What a step saw and did; host arrays."""

  samples: dict
  decoded: dict
  scores: small_run.Scores
  params: dict  # before the step
  after: dict
  gradients: dict
  metrics: dict


@pytest.fixture(autouse=True)
def highest_precision():
  with jax.default_matmul_precision('highest'):
    yield


def keeping_gradients(optimizer):
  """An optimizer whose state has the last gradient beside its own state."""

  def init(params):
    return optimizer.init(params), jax.tree.map(jnp.zeros_like, params)

  def update(gradients, state, params=None):
    change, own = optimizer.update(gradients, state[0], params)
    return change, (own, gradients)

  return optax.GradientTransformation(init, update)


@functools.lru_cache(maxsize=6)  # All of them would take gigabytes.
def built(method, mesh, changes=()):
  settings = {
    'method__name': method,
    'training__updates_per_rollout': 1,
    'training__warmup_steps': 0,
    **dict(changes),
    **dict(
      zip(('mesh__data', 'mesh__fsdp', 'mesh__tensor'), mesh, strict=True)
    ),
  }
  if 'file' not in settings:
    blocks = BLOCKS.get(method, 1)
    settings['model__path'] = str(small_run.base_folder(blocks))
  config = small_run.make_config(**settings)
  optimizer = keeping_gradients(builders.make_optimizer(config.training))
  return small_run.build(config, int(np.prod(mesh)), optimizer=optimizer)


def shaken_state(run):
  """A policy that has left its reference, each shard in its place."""
  state = run.init()
  params = small_run.shaken(state.params, 0.02, seed=3)
  layout = jax.tree.map(lambda leaf: leaf.sharding, state.params)
  return state.replace(params=jax.device_put(params, layout))


def drawn(run, params, step):
  """Samples, what is judged of them, and scores of a step, on the devices."""
  prompts, key = run.prompts_at(step), jax.random.key(10 + step)
  samples = run.rollout(params, run.frozen, prompts, key)
  decoded = run.decode(run.frozen, samples)
  return samples, decoded, run.reward(prompts, decoded)


def trained(run, given=None, scores=None):
  """STEPS steps on samples of its own, or on those of the steps `given`."""
  state, steps = shaken_state(run), []
  for step in range(STEPS):
    before = jax.device_get(state.params)
    if given is None:
      seen = drawn(run, state.params, step)
    else:
      seen = run.place(given[step].samples), None, given[step].scores
    if scores is not None:
      seen = *seen[:2], scores
    state, metrics = run.update(
      state,
      run.frozen,
      seen[0],
      seen[2],
      run.prompts_at(step),
      jax.random.key(20 + step),
    )
    after, gradients = state.params, state.optimizer[1]
    rest = jax.device_get((before, after, gradients, metrics))
    steps.append(Step(*jax.device_get(seen), *rest))
  return steps


@functools.cache
def on_one_device(method, changes=()):
  """Scores are made up: every group differs, and some samples do not count."""
  made = small_run.made_scores(invalid=[(0, 0), (5, 1)])
  return trained(built(method, ONE, changes), scores=made)


@functools.cache
def alone_on_one_device(changes=()):
  """The whole path: rollout, decoding, reward and update, three times."""
  return trained(built('adrpo', ONE, changes))


def largest(tree):
  return max(np.abs(leaf).max() for leaf in jax.tree.leaves(tree))


def assert_near(got, wanted, tolerance=TOLERANCE):
  """max|got − wanted| of every leaf, against the largest number of all."""
  scale = largest(wanted)
  for name, leaf in leaf_names(wanted).items():
    gap = np.abs(leaf_names(got)[name] - leaf).max()
    assert gap <= tolerance * scale, f'{name}: {gap / scale:.2g}'


def assert_each_near(got, wanted, tolerance=TOLERANCE):
  """‖got − wanted‖ ≤ tolerance·‖wanted‖, tensor by tensor."""
  for name, leaf in leaf_names(wanted).items():
    gap = np.linalg.norm(leaf_names(got)[name] - leaf)
    size = np.linalg.norm(leaf)
    assert gap <= tolerance * size, f'{name}: {gap / size:.2g}'


def assert_same_training(got, wanted, tolerance=TOLERANCE):
  for here, one in zip(got, wanted, strict=True):
    for a, b in zip(*(s.metrics['weights'] for s in (here, one)), strict=True):
      np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(here.metrics['beta'], one.metrics['beta'])
    # A loss of both signs nearly cancels: its terms are of the weights' size.
    weight = np.abs(one.metrics['weights'].policy).mean()
    loss, same = one.metrics['loss'], here.metrics['loss']
    assert abs(same - loss) <= tolerance * max(weight, abs(loss))
    assert here.metrics['policy'] == pytest.approx(
      one.metrics['policy'], rel=tolerance, abs=tolerance * float(weight)
    )
    for name in {'divergence', 'grad_norm'} & one.metrics.keys():
      wanted_value = pytest.approx(one.metrics[name], rel=tolerance)
      assert here.metrics[name] == wanted_value
    assert largest(one.gradients) > 1e-4
    assert_near(here.gradients, one.gradients, tolerance)
    assert_each_near(here.after, one.after, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('method', 'mesh', 'changes'),
  CASES,
  ids=str,
)
def test_weights_gradients_and_adam_steps_are_those_of_one_device(
  method, mesh, changes
):
  one = on_one_device(method, changes)
  here = trained(built(method, mesh, changes), given=one)
  decoder = ('file', 'llm') in changes
  assert_same_training(here, one, DECODER_TOLERANCE if decoder else TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize('mesh', MESHES, ids=str)
def test_samples_and_rewards_are_those_of_one_device(mesh):
  one, run = alone_on_one_device()[0], built('adrpo', mesh)
  params = shaken_state(run).params
  samples, images, scores = jax.device_get(drawn(run, params, 0))
  assert_near(samples, one.samples)
  assert_near({'images': images}, {'images': one.decoded})
  assert len(np.unique(one.scores.rewards)) > 3
  for got, wanted in zip(
    jax.tree.leaves(scores), jax.tree.leaves(one.scores), strict=True
  ):
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('mesh', [(2, 2, 2), (1, 8, 1)], ids=str)
def test_answers_and_rewards_are_those_of_one_device(mesh):
  one = alone_on_one_device(LANGUAGE)[0]
  run = built('adrpo', mesh, LANGUAGE)
  samples, _, scores = jax.device_get(drawn(run, shaken_state(run).params, 0))
  for name in ('tokens', 'mask', 'ended'):
    np.testing.assert_array_equal(samples[name], one.samples[name])
  near = {'log_prob': one.samples['log_prob']}
  assert_near({'log_prob': samples['log_prob']}, near)
  np.testing.assert_array_equal(scores.rewards, one.scores.rewards)
  assert len(np.unique(one.scores.rewards)) > 1


@pytest.mark.slow
def test_three_whole_steps_are_those_of_one_device():
  """Each on samples of its own: what a step gets wrong, the next ones show."""
  one, here = alone_on_one_device(), trained(built('adrpo', (2, 2, 2)))
  assert_near(here[2].samples, one[2].samples)
  assert_same_training(here, one)


def bytes_of(tree, device=None):
  """Bytes of the shards on a device; without one, of a single whole copy."""
  leaves = jax.tree.leaves(tree)
  if device is None:
    return sum(leaf.nbytes for leaf in leaves)
  return sum(
    shard.data.nbytes
    for leaf in leaves
    for shard in leaf.addressable_shards
    if shard.device == device
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  ('mesh', 'ways'), [((8, 1, 1), 1), ((1, 8, 1), 8), ((2, 2, 2), 4)], ids=str
)
def test_every_device_holds_its_share(mesh, ways):
  """Holds for parameters, moments and reference, before and after a step."""
  run = built('adrpo', mesh)
  state = run.init()
  after, _ = run.update(shaken_state(run), *small_run.made_step(run))
  for tree in (
    *(state.params, state.optimizer, after.params, after.optimizer),
    run.frozen['reference'],
  ):
    # Biases and scales of norms stay whole.
    small = bytes_of(
      [
        leaf
        for name, leaf in leaf_names(tree).items()
        if name.endswith(('bias', 'scale')) or leaf.ndim < 2
      ]
    )
    whole = bytes_of(tree)
    assert small < whole / 10
    for device in jax.devices():
      assert bytes_of(tree, device) == (whole - small) // ways + small


@pytest.mark.slow
@pytest.mark.parametrize('changes', [(), LORA], ids=str)
def test_the_reference_is_stored_once_and_never_given_away(changes):
  models = base_models.load(small_run.base_folder(BLOCKS['adrpo'])).params
  kernels = shapes_of(models.pop('transformer')) - shapes_of(models)
  others = jax.live_arrays()
  run = built.__wrapped__('adrpo', (2, 2, 2), changes)
  reference = jax.device_get(run.frozen['reference'])
  state, rest = shaken_state(run), small_run.made_step(run)
  of_state, *of_rest = run.update.lower(state, *rest).args_info[0]
  assert all(leaf.donated for leaf in jax.tree.leaves(of_state))
  assert not any(leaf.donated for leaf in jax.tree.leaves(of_rest))
  state, _ = run.update(state, *rest)
  for name, leaf in leaf_names(run.frozen['reference']).items():
    np.testing.assert_array_equal(leaf, leaf_names(reference)[name])
  gc.collect()
  known = set(map(id, [*others, *jax.tree.leaves((run.frozen, state))]))
  more = [a.shape for a in jax.live_arrays() if id(a) not in known]
  assert kernels
  assert not kernels.intersection(more)
  # No compiled program holds weights as constants of its own.
  assert 'dense<"0x' not in run.init.func.lower(*run.init.args).as_text()


def shapes_of(tree):
  return {
    leaf.shape
    for name, leaf in leaf_names(tree).items()
    if name.endswith('kernel')
  }
