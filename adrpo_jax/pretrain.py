"""Pre-training of the shapes world's base: autoencoder, text encoder, MMDiT.

Pictures of the training prompts are drawn once, a stated share of them under a
wrong caption, so that the base draws well and binds badly, as real base models
do. An autoencoder learns the pictures, a flow model their latents:

  L = ‖v_θ(x_σ, σ, c) − (ε − x₀)‖²,   σ = sigmoid(n), n ∼ N(0, 1)

Both stages are a pure function of (state, step), saved as they go: the same
command again continues the run.
"""

from collections.abc import Callable
import dataclasses
import json
import pathlib
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adrpo_jax.models.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.mmdit import MMDiT, MMDiTConfig
from adrpo_jax.models.text_encoder import TextEncoder, TextEncoderConfig
from adrpo_jax.sampling import paths
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import shapes, shapes_prompts


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
  return Pictures(shapes_prompts.tokenise(texts), prompt, images)


def autoencoder_loss(
    model: Autoencoder, params: PyTree, images: Array, key: Array, kl: float
) -> Array:
  """Mean squared error of the reconstruction + kl · KL(q(z|x) ‖ N(0, I))."""
  seen, mean, logvar = model.apply(params, images, key)
  divergence = 0.5 * (mean**2 + jnp.exp(logvar) - 1 - logvar)
  return jnp.mean((seen - images) ** 2) + kl * divergence.mean()


def flow_loss(
    velocity: Callable[..., Array], latents: Array, tokens: Array, key: Array
) -> Array:
  """Flow matching with logit-normal σ; one caption in ten is left out."""
  noise_key, sigma_key, drop_key = jax.random.split(key, 3)
  sigma = jax.nn.sigmoid(jax.random.normal(sigma_key, latents.shape[:1]))
  noise = jax.random.normal(noise_key, latents.shape)
  dropped = jax.random.bernoulli(drop_key, 0.1, (latents.shape[0], 1))
  x_sigma = paths.interpolate(latents, noise, sigma)
  seen = velocity(x_sigma, sigma, jnp.where(dropped, 0, tokens))
  return jnp.mean((seen - paths.velocity_target(latents, noise)) ** 2)


@dataclasses.dataclass(frozen=True)
class Stage:
  """How one stage is trained."""

  steps: int
  batch: int
  learning_rate: float
  ema: float = 0.999


class Progress(NamedTuple):
  """What a stage carries from step to step."""

  step: Array
  params: PyTree
  ema: PyTree
  optimizer: Any


def make_stage(
    stage: Stage, loss: Callable[[PyTree, PyTree, Array], Array]
) -> tuple[Callable[[PyTree], Progress], Callable]:
  """(init, update) of one stage: warm-up, cosine decay, AdamW, EMA.

  loss: (params, batch, key) -> scalar; update: (progress, batch, key) ->
  (progress, loss), jitted, its state donated.
  """
  warmup = min(300, stage.steps // 10)
  schedule = optax.warmup_cosine_decay_schedule(
      0.0, stage.learning_rate, warmup, stage.steps, stage.learning_rate / 50
  )
  optimizer = optax.chain(
      optax.clip_by_global_norm(1.0),
      optax.adamw(schedule, b2=0.99, weight_decay=1e-4),
  )

  def init(params: PyTree) -> Progress:
    copy = jax.tree.map(jnp.copy, params)
    return Progress(jnp.zeros((), int), params, copy, optimizer.init(params))

  def update(progress: Progress, batch: PyTree, key: Array):
    value, grads = jax.value_and_grad(loss)(progress.params, batch, key)
    change, state = optimizer.update(grads, progress.optimizer, progress.params)
    params = optax.apply_updates(progress.params, change)
    decay = jnp.minimum(stage.ema, (1 + progress.step) / (10 + progress.step))
    ema = optax.incremental_update(params, progress.ema, 1 - decay)
    return Progress(progress.step + 1, params, ema, state), value

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
    save_every: float = 120.0,
) -> PyTree:
  """Runs one stage to its end and returns the averaged parameters.

  Batches are a function of the step alone, so a killed stage continues from
  its last save as if nothing had happened.
  """
  init, update = make_stage(stage, loss)
  progress = init(params)
  folder = workdir / name
  saved = restore(folder, progress)
  progress = progress if saved is None else saved
  first = int(progress.step)
  last_save = began = time.monotonic()
  losses = []
  for step in range(first, stage.steps):
    rows = np.random.default_rng([seed, step]).integers(count, size=stage.batch)
    key = jax.random.fold_in(jax.random.key(seed), step)
    progress, value = update(progress, batch_of(rows), key)
    losses.append(value)
    if (step + 1) % 50 == 0 or step + 1 == stage.steps:
      mean = float(np.mean(jax.device_get(losses)))
      seconds = (time.monotonic() - began) / (step + 1 - first)
      print(
          f'{name} {step + 1}/{stage.steps}  loss {mean:.4f}  '
          f'{1e3 * seconds:.0f} ms a step',
          flush=True,
      )
      with open(workdir / f'{name}.jsonl', 'a') as log:
        log.write(json.dumps({'step': step + 1, 'loss': mean}) + '\n')
      losses = []
    if time.monotonic() - last_save > save_every or step + 1 == stage.steps:
      save(folder, progress)
      last_save = time.monotonic()
  return progress.ema


def save(folder, progress):
  import flax.serialization

  folder.mkdir(parents=True, exist_ok=True)
  data = flax.serialization.to_bytes(jax.device_get(progress._asdict()))
  (folder / 'state.tmp').write_bytes(data)
  (folder / 'state.tmp').rename(folder / 'state.msgpack')


def restore(folder, progress):
  import flax.serialization

  if not (folder / 'state.msgpack').exists():
    return None
  return Progress(
      **flax.serialization.from_bytes(
          progress._asdict(), (folder / 'state.msgpack').read_bytes()
      )
  )


def run(
    workdir: pathlib.Path,
    *,
    pictures: int,
    corruption: float,
    shares: dict[str, float],
    autoencoder: AutoencoderConfig,
    text_encoder: TextEncoderConfig,
    mmdit: MMDiTConfig,
    autoencoder_stage: Stage,
    flow_stage: Stage,
    kl: float,
    seed: int,
) -> tuple[dict[str, PyTree], AutoencoderConfig]:
  """Both stages: -> parameters by model, and the autoencoder's final config.

  The config gains the shift and the scale that make latents zero-mean and
  unit-variance over the training pictures.
  """
  cache = workdir / 'pictures.npz'
  if cache.exists():
    with np.load(cache) as stored:
      drawn = Pictures(**stored)
  else:
    drawn = draw_pictures(pictures, corruption, seed, shares)
    part = cache.with_suffix('.part.npz')
    np.savez(part, **drawn._asdict())
    part.rename(cache)
  print(f'{len(drawn.images)} pictures', flush=True)

  raw = Autoencoder(
      dataclasses.replace(autoencoder, scaling_factor=1.0, shift_factor=0.0)
  )

  def pixels(rows: np.ndarray) -> np.ndarray:
    return drawn.images[rows].astype(np.float32) / 127.5 - 1

  key = jax.random.key(seed)
  blank = jnp.zeros((1, shapes.SIDE, shapes.SIDE, 3))
  coder = train_stage(
      'autoencoder',
      autoencoder_stage,
      lambda p, images, k: autoencoder_loss(raw, p, images, k, kl),
      jax.jit(raw.init)(key, blank, key),
      pixels,
      len(drawn.images),
      workdir,
      seed=seed,
  )
  encode = jax.jit(lambda x: raw.apply(coder, x, method='encode'))
  rows = np.arange(len(drawn.images))
  latents = np.concatenate([
      np.asarray(encode(pixels(part)))
      for part in np.array_split(rows, max(1, len(rows) // 1024))
  ])
  shift, scale = float(latents.mean()), float(1 / latents.std())
  latents = (latents - shift) * scale
  print(f'latents: shift {shift:.4f}, scale {scale:.4f}', flush=True)

  text, flow = TextEncoder(text_encoder), MMDiT(mmdit)

  def velocity(params: PyTree, x: Array, sigma: Array, tokens: Array) -> Array:
    condition = text.apply(params['text_encoder'], tokens)
    return flow.apply(params['transformer'], x, sigma, condition)

  tokens = drawn.tokens[:1]
  written = jax.jit(text.init)(jax.random.fold_in(key, 1), tokens)
  begun = jax.jit(flow.init)(
      jax.random.fold_in(key, 2),
      latents[:1],
      jnp.zeros(1),
      text.apply(written, tokens),
  )
  trained = train_stage(
      'flow',
      flow_stage,
      lambda p, batch, k: flow_loss(
          lambda x, s, t: velocity(p, x, s, t), *batch, k
      ),
      {'text_encoder': written, 'transformer': begun},
      lambda rows: (latents[rows], drawn.tokens[drawn.prompt[rows]]),
      len(rows),
      workdir,
      seed=seed + 1,
  )
  models = {**trained, 'autoencoder': coder}
  return models, dataclasses.replace(
      autoencoder, scaling_factor=scale, shift_factor=shift
  )
