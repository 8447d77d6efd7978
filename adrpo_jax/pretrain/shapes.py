"""Pre-trains the base of the shapes world: autoencoder, text encoder, MMDiT.

Images of the training prompts are rendered once. A given share of them has a
wrong caption, so that the base, like real base models, renders objects well but
often gives them the wrong attributes. An autoencoder learns the images. The
text encoder learns which object a word is about (`word_facts`). A flow model
learns the latents, and the text encoder with it:

  L = ‖v_θ(x_σ, σ, c) − (ε − x₀)‖²,   σ logit-normal with a shift, as in SD3

Which object stands where is decided near σ = 1: a shift above 1 teaches it.

Then classifier-free guidance is distilled into the flow model, so that a sample
costs one evaluation per solver step, and the decoder is trained further. Every
stage is a pure function of (state, step) and saves its state, so the same
command continues an interrupted run.
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
from adrpo_jax.metrics import MetricsLog, Progress
from adrpo_jax.models.sd3.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.sd3.mmdit import MMDiT, MMDiTConfig
from adrpo_jax.models.shapes.base import Base, initialize
from adrpo_jax.models.shapes.text_encoder import TextEncoder, TextEncoderConfig
from adrpo_jax.pretrain.word_facts import (
  WordFacts,
  WordHead,
  word_facts,
  word_loss,
)
from adrpo_jax.samples import image_file
from adrpo_jax.sampling import guided, noise_levels, paths
from adrpo_jax.sampling.noise_levels import Quantile
from adrpo_jax.system import cache_files
from adrpo_jax.system.records import cut_back
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import shapes, shapes_prompts

# A base that two CPU cores can train: 2.3M parameters on 16 image tokens.
SMALL_BASE = Base(
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
LOG_EVERY = 50  # steps


class CaptionedImages(NamedTuple):
  """The training set: images, and their captions as rows of a prompt table."""

  tokens: np.ndarray  # [Q, L], one row per prompt
  prompt: np.ndarray  # [N], the row of each image's caption
  images: np.ndarray  # [N, H, W, 3] uint8


def render_images(
  count: int, corruption: float, seed: int, shares: dict[str, float]
) -> CaptionedImages:
  """Renders `count` images; a share `corruption` contradicts its caption."""
  rng = np.random.default_rng(seed)
  listed = shapes_prompts.prompts('train')
  texts = [text for text, _ in listed]
  category = np.array([c for _, c in listed])
  chance = np.array([shares[c] / np.sum(category == c) for c in category])
  prompt = rng.choice(len(texts), count, p=chance / chance.sum())
  table = shapes_prompts.facts(texts)
  stated = shapes.Facts(*(leaf[prompt] for leaf in table))
  wrong = rng.random(count) < corruption
  corrupted = shapes_prompts.corrupt(
    shapes.Facts(*(leaf[wrong] for leaf in stated)), rng
  )
  for leaf, change in zip(stated, corrupted, strict=True):
    leaf[wrong] = change
  draw = jax.jit(
    lambda f, k: jnp.round(shapes.draw(f, k) * 255).astype(jnp.uint8)
  )
  images = np.empty((count, shapes.SIDE, shapes.SIDE, 3), np.uint8)
  for start in range(0, count, 1024):
    part = shapes.Facts(*(leaf[start : start + 1024] for leaf in stated))
    key = jax.random.fold_in(jax.random.key(seed), start)
    images[start : start + 1024] = draw(part, key)
  return CaptionedImages(shapes_prompts.tokenize(texts), prompt, images)


def autoencoder_loss(
  model: Autoencoder, params: PyTree, images: Array, key: Array, kl: float
) -> Array:
  """Mean squared error of the reconstruction + kl · KL(q(z|x) ‖ N(0, I))."""
  decoded, mean, logvar = model.apply(params, images, key)
  divergence = 0.5 * (mean**2 + jnp.exp(logvar) - 1 - logvar)
  return jnp.mean((decoded - images) ** 2) + kl * divergence.mean()


def flow_loss(
  velocity: Callable[..., Array],
  levels: Quantile,
  batch: tuple[Array, Array],
  key: Array,
) -> Array:
  """The flow-matching loss of a batch (latents, captions)."""
  x_sigma, sigma, target, tokens = _flow_inputs(*batch, levels, key)
  return jnp.mean((velocity(x_sigma, sigma, tokens) - target) ** 2)


def guidance_loss(
  velocity: Callable[..., Array],
  guided_velocity: Callable[..., Array],
  levels: Quantile,
  batch: tuple[Array, Array],
  key: Array,
) -> Array:
  """The distillation loss ‖v_θ(x_σ, σ, c) − v_w(x_σ, σ, c)‖².

  v_w is the teacher with classifier-free guidance w. For an empty prompt, v_w
  is the velocity of the teacher itself. Source: Meng et al., arXiv 2210.03142,
  §3.1.
  """
  x_sigma, sigma, _, tokens = _flow_inputs(*batch, levels, key)
  target = jax.lax.stop_gradient(guided_velocity(x_sigma, sigma, tokens))
  return jnp.mean((velocity(x_sigma, sigma, tokens) - target) ** 2)


def _flow_inputs(
  latents: Array, tokens: Array, levels: Quantile, key: Array
) -> tuple[Array, ...]:
  """Returns (x_σ, σ, ε − x₀, captions), one in ten captions left out."""
  noise_key, sigma_key, drop_key = jax.random.split(key, 3)
  sigma = levels(jax.random.uniform(sigma_key, latents.shape[:1]))
  noise = jax.random.normal(noise_key, latents.shape)
  dropped = jax.random.bernoulli(drop_key, 0.1, (latents.shape[0], 1))
  x_sigma = paths.interpolate(latents, noise, sigma)
  target = paths.velocity_target(latents, noise)
  return x_sigma, sigma, target, jnp.where(dropped, 0, tokens)


@dataclasses.dataclass(frozen=True)
class StageConfig:
  """The settings of one stage of training."""

  steps: int
  batch_size: int
  learning_rate: float
  ema_decay: float
  save_every: int


class StageState(NamedTuple):
  """The state that a stage carries from step to step."""

  step: Array
  params: PyTree
  ema: PyTree
  optimizer: Any


def make_stage(
  stage: StageConfig, loss: Callable[[PyTree, PyTree, Array], Array]
) -> tuple[Callable[[PyTree], StageState], Callable]:
  """Makes (init, update) of one stage: warm-up, cosine decay, AdamW, EMA.

  loss is (params, batch, key) -> scalar. update is (state, batch, key) ->
  (state, loss); it is jitted and donates its state.
  """
  warmup = min(300, stage.steps // 10)
  schedule = optax.warmup_cosine_decay_schedule(
    0.0, stage.learning_rate, warmup, stage.steps, stage.learning_rate / 50
  )
  optimizer = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adamw(schedule, b2=0.99, weight_decay=1e-4),
  )

  def init(params: PyTree) -> StageState:
    # Copies, because `update` donates the state.
    params, ema = jax.tree.map(jnp.copy, (params, params))
    return StageState(jnp.zeros((), int), params, ema, optimizer.init(params))

  def update(state: StageState, batch: PyTree, key: Array):
    value, grads = jax.value_and_grad(loss)(state.params, batch, key)
    change, optimizer_state = optimizer.update(
      grads, state.optimizer, state.params
    )
    params = optax.apply_updates(state.params, change)
    decay = jnp.minimum(stage.ema_decay, (1 + state.step) / (10 + state.step))
    ema = optax.incremental_update(params, state.ema, 1 - decay)
    return StageState(state.step + 1, params, ema, optimizer_state), value

  return init, jax.jit(update, donate_argnums=0)


def train_stage(
  name: str,
  stage: StageConfig,
  loss: Callable[[PyTree, PyTree, Array], Array],
  params: PyTree,
  batch_of: Callable[[np.ndarray], PyTree],
  count: int,
  workdir: pathlib.Path,
  *,
  seed: int,
) -> PyTree:
  """Runs one stage to its end and returns the averaged parameters.

  Batches depend only on the step, so an interrupted stage continues from its
  last save with the same results. A stage of 0 steps returns `params`.
  """
  if not stage.steps:
    return params
  init, update = make_stage(stage, loss)
  with Checkpoints(workdir / name) as checkpoints:
    state = init(params)
    restored = checkpoints.restore(jax.eval_shape(lambda: state))
    first = restored.step if restored else 0
    state = restored.state if restored else state
    meta = restored.meta if restored else {}
    # The losses since the last line, which is a mean of them.
    losses = list(np.asarray(meta.get('losses', []), np.float32))
    logged = [step for step in range(first) if _is_logged(step + 1, stage)]
    cut_back(workdir / f'{name}.jsonl', first, logged)
    progress = Progress(stage.steps, start=first)
    with MetricsLog(workdir / f'{name}.jsonl', start=first) as log:
      for step in range(first, stage.steps):
        rng = np.random.default_rng([seed, step])
        rows = rng.integers(count, size=stage.batch_size)
        key = jax.random.fold_in(jax.random.key(seed), step)
        state, value = update(state, batch_of(rows), key)
        losses.append(value)
        completed = step + 1
        if _is_logged(completed, stage):
          mean = float(np.mean(jax.device_get(losses)))
          log.write(step, {'loss': mean})
          progress.update(completed, {f'{name} loss': mean})
          losses = []
        every = stage.save_every or stage.steps
        if completed % every == 0 or completed == stage.steps:
          since = [float(loss) for loss in jax.device_get(losses)]
          checkpoints.save(completed, state, {'losses': since})
    progress.close()
  return state.ema


def _is_logged(completed: int, stage: StageConfig) -> bool:
  return completed % LOG_EVERY == 0 or completed == stage.steps


def run(
  workdir: pathlib.Path,
  *,
  images: int,
  corruption: float,
  shares: dict[str, float],
  autoencoder_stage: StageConfig,
  text_encoder_stage: StageConfig,
  decoder_stage: StageConfig,
  flow_stage: StageConfig,
  distillation_stage: StageConfig,
  guidance: float,
  shift: float,
  kl: float,
  seed: int,
  start: Base | None = None,
) -> Base:
  """Runs all stages and returns a base, trained from scratch or from `start`.

  With `start`, the encoder, and so the latents, stay the same. The flow model
  and the text encoder continue from its weights.
  """
  data = _dataset(workdir / 'pictures.npz', images, corruption, seed, shares)
  count = len(data.images)
  key = jax.random.key(seed)

  def pixels(rows: np.ndarray) -> np.ndarray:
    return data.images[rows].astype(np.float32) / 127.5 - 1

  # In one program: the forward passes that shape the weights are not run.
  fresh = (
    start.params if start else jax.jit(partial(initialize, SMALL_BASE))(key)
  )
  coder = Autoencoder(SMALL_BASE.autoencoder)
  autoencoder = fresh['autoencoder']
  if start is None:
    autoencoder = train_stage(
      'autoencoder',
      autoencoder_stage,
      lambda p, images, k: autoencoder_loss(coder, p, images, k, kl),
      autoencoder,
      pixels,
      count,
      workdir,
      seed=seed,
    )
  latents = _latents(coder, autoencoder, pixels, count)
  if start is None:
    scaled = dataclasses.replace(
      SMALL_BASE.autoencoder,
      shift_factor=float(latents.mean()),
      scaling_factor=float(1 / latents.std()),
    )
  else:
    scaled = start.autoencoder
  latents = (latents - scaled.shift_factor) * scaled.scaling_factor

  def captioned(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return latents[rows], data.tokens[data.prompt[rows]]

  text, flow = TextEncoder(SMALL_BASE.text_encoder), MMDiT(SMALL_BASE.mmdit)
  text_encoder = _train_text_encoder(
    text, text_encoder_stage, fresh['text_encoder'], data, workdir, seed + 4
  )

  def velocity(params: PyTree, x: Array, sigma: Array, tokens: Array) -> Array:
    condition = text.apply(params['text_encoder'], tokens)
    return flow.apply(params['transformer'], x, sigma, condition)

  levels = noise_levels.logit_normal(shift)
  trained = train_stage(
    'flow',
    flow_stage,
    lambda p, batch, k: flow_loss(partial(velocity, p), levels, batch, k),
    {'text_encoder': text_encoder, 'transformer': fresh['transformer']},
    captioned,
    count,
    workdir,
    seed=seed + 1,
  )
  empty = jnp.zeros(data.tokens.shape[1:], int)
  teacher = partial(guided(velocity, guidance, empty), trained)
  trained = train_stage(
    'distillation',
    distillation_stage,
    lambda p, batch, k: guidance_loss(
      partial(velocity, p), teacher, levels, batch, k
    ),
    trained,
    captioned,
    count,
    workdir,
    seed=seed + 3,
  )
  encoder = autoencoder['params']['encoder']

  def decoder_loss(params: PyTree, images: Array, key: Array) -> Array:
    del key
    whole = {'params': {'encoder': encoder, 'decoder': params}}
    mean, _ = coder.apply(whole, images, method='moments')
    decoded = coder.apply(whole, mean, method='decode')
    return jnp.mean((decoded - images) ** 2)

  decoder = train_stage(
    'decoder',
    decoder_stage,
    decoder_loss,
    autoencoder['params']['decoder'],
    pixels,
    count,
    workdir,
    seed=seed + 2,
  )
  models = {'params': {'encoder': encoder, 'decoder': decoder}}
  return SMALL_BASE._replace(
    autoencoder=scaled, params=trained | {'autoencoder': models}
  )


def _train_text_encoder(
  model: TextEncoder,
  stage: StageConfig,
  params: PyTree,
  data: CaptionedImages,
  workdir: pathlib.Path,
  seed: int,
) -> PyTree:
  """Returns the parameters after the stage on the captions of the images."""
  facts = word_facts([prompt for prompt, _ in shapes_prompts.prompts('train')])

  def captions(rows: np.ndarray) -> tuple[np.ndarray, WordFacts]:
    prompts = data.prompt[rows]
    return data.tokens[prompts], WordFacts(*(leaf[prompts] for leaf in facts))

  no_states = jnp.zeros((1, model.config.width))
  head = WordHead().init(jax.random.key(seed), no_states)
  trained = train_stage(
    'text_encoder',
    stage,
    partial(word_loss, model),
    {'text_encoder': params, 'head': head},
    captions,
    len(data.prompt),
    workdir,
    seed=seed,
  )
  return trained['text_encoder']


def _dataset(
  cache: pathlib.Path,
  count: int,
  corruption: float,
  seed: int,
  shares: dict[str, float],
) -> CaptionedImages:
  """Returns the images of a workdir, which are rendered once."""
  if (stored := cache_files.read(cache)) is not None:
    return CaptionedImages(**image_file.npz_arrays(stored))
  data = render_images(count, corruption, seed, shares)
  cache_files.write(cache, image_file.npz_bytes(data._asdict()))
  return data


def _latents(
  coder: Autoencoder,
  params: PyTree,
  pixels: Callable[[np.ndarray], np.ndarray],
  count: int,
) -> np.ndarray:
  """Returns the latent means of all images, [N, h, w, C]."""
  encode = jax.jit(lambda x: coder.apply(params, x, method='encode'))
  parts = np.array_split(np.arange(count), max(1, count // 1024))
  return np.concatenate([np.asarray(encode(pixels(rows))) for rows in parts])
