"""Pre-training of the shapes world's base: autoencoder, text encoder, MMDiT.

Pictures of the training prompts are drawn once, a stated share of them under a
wrong caption, so that the base draws well and binds badly, as real base models
do. An autoencoder learns the pictures, a flow model their latents:

  L = ‖v_θ(x_σ, σ, c) − (ε − x₀)‖²,   σ = sigmoid(n), n ∼ N(0, 1)

Its classifier-free guidance is then distilled into it, so that a sample costs
one evaluation per solver step, and the decoder is trained on. Every stage is a
pure function of (state, step), saved as it goes: the same command again
continues the run.
"""

from collections.abc import Callable
import dataclasses
from functools import partial
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.metrics import MetricsLog, Progress, cut_back
from adrpo_jax.models.sd3.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.sd3.mmdit import MMDiT, MMDiTConfig
from adrpo_jax.models.shapes.base import Base, initialize
from adrpo_jax.models.shapes.text_encoder import TextEncoder, TextEncoderConfig
from adrpo_jax.sampling import guided, paths
from adrpo_jax.system.files import replacing
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import shapes, shapes_prompts

# The base that two cores can train: 2.3M parameters on 16 image tokens.
SMALL = Base(
  mmdit=MMDiTConfig(
    sample_size=8,
    patch_size=2,
    in_channels=8,
    num_layers=4,
    num_attention_heads=4,
    attention_head_dim=32,
    joint_attention_dim=96,
    pooled_projection_dim=96,
    pos_embed_max_size=4,
  ),
  text_encoder=TextEncoderConfig(
    vocabulary=len(shapes_prompts.WORDS),
    length=shapes_prompts.LENGTH,
    width=96,
    layers=2,
    heads=4,
  ),
  autoencoder=AutoencoderConfig(
    latent_channels=8,
    block_out_channels=(8, 16, 32),
    layers_per_block=1,
    norm_num_groups=4,
    scaling_factor=1.0,
    shift_factor=0.0,
  ),
  params={},
)
LOGGED_EVERY = 50  # steps


class Pictures(NamedTuple):
  """The training set: captions (rows of a prompt table) and their images."""

  tokens: np.ndarray  # [Q, L], one row per prompt
  prompt: np.ndarray  # [N], row of each picture's caption
  images: np.ndarray  # [N, H, W, 3] uint8


def draw_pictures(
  count: int, corruption: float, seed: int, shares: dict[str, float]
) -> Pictures:
  """Draws `count` pictures; a share `corruption` contradicts its caption."""
  rng = np.random.default_rng(seed)
  listed = shapes_prompts.prompts('train')
  texts = [text for text, _ in listed]
  category = np.array([c for _, c in listed])
  chance = np.array([shares[c] / np.sum(category == c) for c in category])
  prompt = rng.choice(len(texts), count, p=chance / chance.sum())
  table = shapes_prompts.facts(texts)
  stated = shapes.Facts(*(leaf[prompt] for leaf in table))
  wrong = rng.random(count) < corruption
  lied = shapes_prompts.corrupt(
    shapes.Facts(*(leaf[wrong] for leaf in stated)), rng
  )
  for leaf, change in zip(stated, lied, strict=True):
    leaf[wrong] = change
  draw = jax.jit(
    lambda f, k: jnp.round(shapes.draw(f, k) * 255).astype(jnp.uint8)
  )
  images = np.empty((count, shapes.SIDE, shapes.SIDE, 3), np.uint8)
  for start in range(0, count, 1024):
    part = shapes.Facts(*(leaf[start : start + 1024] for leaf in stated))
    key = jax.random.fold_in(jax.random.key(seed), start)
    images[start : start + 1024] = draw(part, key)
  return Pictures(shapes_prompts.tokenize(texts), prompt, images)


def autoencoder_loss(
  model: Autoencoder, params: PyTree, images: Array, key: Array, kl: float
) -> Array:
  """Mean squared error of the reconstruction + kl · KL(q(z|x) ‖ N(0, I))."""
  seen, mean, logvar = model.apply(params, images, key)
  divergence = 0.5 * (mean**2 + jnp.exp(logvar) - 1 - logvar)
  return jnp.mean((seen - images) ** 2) + kl * divergence.mean()


def flow_loss(
  velocity: Callable[..., Array], batch: tuple[Array, Array], key: Array
) -> Array:
  """Flow matching with logit-normal σ on a batch of (latents, captions)."""
  x_sigma, sigma, target, tokens = _noised(*batch, key)
  return jnp.mean((velocity(x_sigma, sigma, tokens) - target) ** 2)


def guidance_loss(
  velocity: Callable[..., Array],
  guided_velocity: Callable[..., Array],
  batch: tuple[Array, Array],
  key: Array,
) -> Array:
  """‖v_θ(x_σ, σ, c) − v_w(x_σ, σ, c)‖²: a guided teacher taught to one model.

  v_w is the teacher under classifier-free guidance w; its answer to the empty
  prompt is its own. Source: Meng et al., arXiv 2210.03142, §3.1.
  """
  x_sigma, sigma, _, tokens = _noised(*batch, key)
  target = jax.lax.stop_gradient(guided_velocity(x_sigma, sigma, tokens))
  return jnp.mean((velocity(x_sigma, sigma, tokens) - target) ** 2)


def _noised(latents: Array, tokens: Array, key: Array) -> tuple[Array, ...]:
  """(x_σ, σ, ε − x₀, the captions, one in ten of them left out)."""
  noise_key, sigma_key, drop_key = jax.random.split(key, 3)
  sigma = jax.nn.sigmoid(jax.random.normal(sigma_key, latents.shape[:1]))
  noise = jax.random.normal(noise_key, latents.shape)
  dropped = jax.random.bernoulli(drop_key, 0.1, (latents.shape[0], 1))
  x_sigma = paths.interpolate(latents, noise, sigma)
  target = paths.velocity_target(latents, noise)
  return x_sigma, sigma, target, jnp.where(dropped, 0, tokens)


@dataclasses.dataclass(frozen=True)
class Stage:
  """How one stage is trained."""

  steps: int
  batch: int
  learning_rate: float
  ema: float
  save_every: int


class Learner(NamedTuple):
  """What a stage carries from step to step."""

  step: Array
  params: PyTree
  ema: PyTree
  optimizer: Any


def make_stage(
  stage: Stage, loss: Callable[[PyTree, PyTree, Array], Array]
) -> tuple[Callable[[PyTree], Learner], Callable]:
  """(init, update) of one stage: warm-up, cosine decay, AdamW, EMA.

  loss: (params, batch, key) -> scalar; update: (learner, batch, key) ->
  (learner, loss), jitted, its state donated.
  """
  warmup = min(300, stage.steps // 10)
  schedule = optax.warmup_cosine_decay_schedule(
    0.0, stage.learning_rate, warmup, stage.steps, stage.learning_rate / 50
  )
  optimizer = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adamw(schedule, b2=0.99, weight_decay=1e-4),
  )

  def init(params: PyTree) -> Learner:
    # The state is donated; the caller keeps its own parameters.
    params, ema = jax.tree.map(jnp.copy, (params, params))
    return Learner(jnp.zeros((), int), params, ema, optimizer.init(params))

  def update(learner: Learner, batch: PyTree, key: Array):
    value, grads = jax.value_and_grad(loss)(learner.params, batch, key)
    change, state = optimizer.update(grads, learner.optimizer, learner.params)
    params = optax.apply_updates(learner.params, change)
    decay = jnp.minimum(stage.ema, (1 + learner.step) / (10 + learner.step))
    ema = optax.incremental_update(params, learner.ema, 1 - decay)
    return Learner(learner.step + 1, params, ema, state), value

  return init, jax.jit(update, donate_argnums=0)


def train_stage(
  name: str,
  stage: Stage,
  loss: Callable[[PyTree, PyTree, Array], Array],
  params: PyTree,
  batch_of: Callable[[np.ndarray], PyTree],
  count: int,
  workdir: pathlib.Path,
  *,
  seed: int,
) -> PyTree:
  """Runs one stage to its end and returns the averaged parameters.

  Batches are a function of the step alone, so a killed stage continues from
  its last save as if nothing had happened. A stage of no steps is left out.
  """
  if not stage.steps:
    return params
  init, update = make_stage(stage, loss)
  with Checkpoints(workdir / name) as checkpoints:
    learner = init(params)
    restored = checkpoints.restore(jax.eval_shape(lambda: learner))
    first = restored.step if restored else 0
    learner = restored.state if restored else learner
    cut_back(workdir / f'{name}.jsonl', first)
    shown, losses = Progress(stage.steps, start=first), []
    with MetricsLog(workdir / f'{name}.jsonl', start=first) as log:
      for step in range(first, stage.steps):
        rng = np.random.default_rng([seed, step])
        rows = rng.integers(count, size=stage.batch)
        key = jax.random.fold_in(jax.random.key(seed), step)
        learner, value = update(learner, batch_of(rows), key)
        losses.append(value)
        done = step + 1
        if done % LOGGED_EVERY == 0 or done == stage.steps:
          mean = float(np.mean(jax.device_get(losses)))
          log.write(step, {'loss': mean})
          shown.update(done, {f'{name} loss': mean})
          losses = []
        if done % stage.save_every == 0 or done == stage.steps:
          checkpoints.save(done, learner, {})
    shown.close()
  return learner.ema


def run(
  workdir: pathlib.Path,
  *,
  pictures: int,
  corruption: float,
  shares: dict[str, float],
  autoencoder_stage: Stage,
  decoder_stage: Stage,
  flow_stage: Stage,
  distillation_stage: Stage,
  guidance: float,
  kl: float,
  seed: int,
  start: Base | None = None,
) -> Base:
  """All stages: from nothing, or from `start`, to a base checkpoint.

  A `start` keeps its encoder, hence its latents; the flow model and the text
  encoder train on from its weights.
  """
  drawn = _drawn(workdir / 'pictures.npz', pictures, corruption, seed, shares)
  count = len(drawn.images)
  key = jax.random.key(seed)

  def pixels(rows: np.ndarray) -> np.ndarray:
    return drawn.images[rows].astype(np.float32) / 127.5 - 1

  fresh = start.params if start else initialize(SMALL, key)
  coder = Autoencoder(SMALL.autoencoder)
  coded = fresh['autoencoder']
  if start is None:
    coded = train_stage(
      'autoencoder',
      autoencoder_stage,
      lambda p, images, k: autoencoder_loss(coder, p, images, k, kl),
      coded,
      pixels,
      count,
      workdir,
      seed=seed,
    )
  latents = _encoded(coder, coded, pixels, count)
  shift, scale = float(latents.mean()), float(1 / latents.std())
  if start is not None:
    shift = start.autoencoder.shift_factor
    scale = start.autoencoder.scaling_factor

  def captioned(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (latents[rows] - shift) * scale, drawn.tokens[drawn.prompt[rows]]

  text, flow = TextEncoder(SMALL.text_encoder), MMDiT(SMALL.mmdit)

  def velocity(params: PyTree, x: Array, sigma: Array, tokens: Array) -> Array:
    condition = text.apply(params['text_encoder'], tokens)
    return flow.apply(params['transformer'], x, sigma, condition)

  trained = train_stage(
    'flow',
    flow_stage,
    lambda p, batch, k: flow_loss(partial(velocity, p), batch, k),
    {name: fresh[name] for name in ('text_encoder', 'transformer')},
    captioned,
    count,
    workdir,
    seed=seed + 1,
  )
  empty = jnp.zeros(drawn.tokens.shape[1:], int)
  teacher = partial(guided(velocity, guidance, empty), trained)
  trained = train_stage(
    'distillation',
    distillation_stage,
    lambda p, batch, k: guidance_loss(partial(velocity, p), teacher, batch, k),
    trained,
    captioned,
    count,
    workdir,
    seed=seed + 3,
  )
  encoder = coded['params']['encoder']

  def decoder_loss(params: PyTree, images: Array, key: Array) -> Array:
    del key
    whole = {'params': {'encoder': encoder, 'decoder': params}}
    mean, _ = coder.apply(whole, images, method='moments')
    seen = coder.apply(whole, mean, method='decode')
    return jnp.mean((seen - images) ** 2)

  decoder = train_stage(
    'decoder',
    decoder_stage,
    decoder_loss,
    coded['params']['decoder'],
    pixels,
    count,
    workdir,
    seed=seed + 2,
  )
  scaled = dataclasses.replace(
    SMALL.autoencoder, scaling_factor=scale, shift_factor=shift
  )
  models = {'params': {'encoder': encoder, 'decoder': decoder}}
  return SMALL._replace(
    autoencoder=scaled, params=trained | {'autoencoder': models}
  )


def _drawn(
  cache: pathlib.Path,
  count: int,
  corruption: float,
  seed: int,
  shares: dict[str, float],
) -> Pictures:
  """The pictures, drawn once for a workdir."""
  if cache.exists():
    with np.load(cache, allow_pickle=False) as stored:
      return Pictures(**stored)
  drawn = draw_pictures(count, corruption, seed, shares)
  with replacing(cache) as new, open(new, 'wb') as stream:
    np.savez(stream, **drawn._asdict())
  return drawn


def _encoded(
  coder: Autoencoder,
  params: PyTree,
  pixels: Callable[[np.ndarray], np.ndarray],
  count: int,
) -> np.ndarray:
  """Latent means of all pictures, [N, h, w, C]."""
  encode = jax.jit(lambda x: coder.apply(params, x, method='encode'))
  parts = np.array_split(np.arange(count), max(1, count // 1024))
  return np.concatenate([np.asarray(encode(pixels(rows))) for rows in parts])
