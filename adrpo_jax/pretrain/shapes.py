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
stage saves its state, so the same command continues an interrupted run.
"""

from collections.abc import Callable, Mapping
import dataclasses
from functools import partial
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.sd3.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.sd3.mmdit import MMDiT, MMDiTConfig
from adrpo_jax.models.shapes.base import Base, initialize
from adrpo_jax.models.shapes.text_encoder import TextEncoder, TextEncoderConfig
from adrpo_jax.pretrain.captioned_images import CaptionedImages, dataset
from adrpo_jax.pretrain.shapes_losses import (
  autoencoder_loss,
  decoder_loss,
  flow_loss,
  guidance_loss,
)
from adrpo_jax.pretrain.stage import StageConfig, train_stage
from adrpo_jax.pretrain.word_facts import (
  WordFacts,
  WordHead,
  word_facts,
  word_loss,
)
from adrpo_jax.sampling import guided, noise_levels
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import shapes_prompts

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


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What makes a base: its images, the size of its transformer, five stages.

  `transformer` has fields of `MMDiTConfig` that differ from `SMALL_BASE`. The
  other fields are as in configs/pretrain.py.
  """

  images: int
  corruption: float
  shares: Mapping[str, float]
  transformer: Mapping[str, Any]
  kl: float
  shift: float
  guidance: float
  autoencoder: StageConfig
  text_encoder: StageConfig
  flow: StageConfig
  distillation: StageConfig
  decoder: StageConfig


def run(
  workdir: pathlib.Path,
  recipe: Recipe,
  *,
  seed: int,
  start: Base | None = None,
) -> Base:
  """Runs all stages and returns a base, trained from scratch or from `start`.

  With `start`, the encoder, and so the latents, stay the same. The flow model
  and the text encoder continue from its weights.

  Raises:
    InputError: the transformer of `start` has another size than the recipe.
  """
  sizes = dataclasses.replace(SMALL_BASE.mmdit, **recipe.transformer)
  if start and start.mmdit != sizes:
    raise InputError(
      'Expected a base of model.path with the transformer that '
      f'pretrain.transformer asks for, {sizes}, got {start.mmdit}.'
    )
  data = dataset(
    workdir / 'pictures.npz',
    recipe.images,
    recipe.corruption,
    seed,
    recipe.shares,
  )
  train = partial(train_stage, count=len(data.images), workdir=workdir)
  new = SMALL_BASE._replace(mmdit=sizes)
  base = start or _with_autoencoder(new, recipe, data, train, seed)
  text_encoder = _text_encoder(base, recipe, data, train, seed + 4)
  params = base.params | {'text_encoder': text_encoder}
  params |= _flow(base._replace(params=params), recipe, data, train, seed)
  params |= _decoder(base, recipe, data, train, seed + 2)
  return base._replace(params=params)


def _with_autoencoder(
  base: Base,
  recipe: Recipe,
  data: CaptionedImages,
  train: Callable[..., PyTree],
  seed: int,
) -> Base:
  """A new base whose autoencoder is trained, and has latents of unit scale."""
  # In one program: the forward passes that shape the weights are not run.
  params = jax.jit(partial(initialize, base))(jax.random.key(seed))
  coder = Autoencoder(base.autoencoder)
  params['autoencoder'] = train(
    'autoencoder',
    recipe.autoencoder,
    lambda p, images, k: autoencoder_loss(coder, p, images, k, recipe.kl),
    params['autoencoder'],
    data.pixels,
    seed=seed,
  )
  latents = _encoded(coder, params['autoencoder'], data)  # not scaled yet
  scaled = dataclasses.replace(
    base.autoencoder,
    shift_factor=float(latents.mean()),
    scaling_factor=float(1 / latents.std()),
  )
  return base._replace(autoencoder=scaled, params=params)


def _text_encoder(
  base: Base,
  recipe: Recipe,
  data: CaptionedImages,
  train: Callable[..., PyTree],
  seed: int,
) -> PyTree:
  """The parameters of the text encoder that knows what its words are about."""
  model = TextEncoder(base.text_encoder)
  facts = word_facts([prompt for prompt, _ in shapes_prompts.prompts('train')])

  def captions(rows: np.ndarray) -> tuple[np.ndarray, WordFacts]:
    prompts = data.prompt[rows]
    return data.tokens[prompts], WordFacts(*(leaf[prompts] for leaf in facts))

  no_states = jnp.zeros((1, model.config.width))
  head = WordHead().init(jax.random.key(seed), no_states)
  trained = train(
    'text_encoder',
    recipe.text_encoder,
    partial(word_loss, model),
    {'text_encoder': base.params['text_encoder'], 'head': head},
    captions,
    seed=seed,
  )
  return trained['text_encoder']


def _flow(
  base: Base,
  recipe: Recipe,
  data: CaptionedImages,
  train: Callable[..., PyTree],
  seed: int,
) -> dict[str, PyTree]:
  """The parameters of the text encoder and the transformer, trained by flow."""
  coder = Autoencoder(base.autoencoder)
  latents = _encoded(coder, base.params['autoencoder'], data)
  text, flow = TextEncoder(base.text_encoder), MMDiT(base.mmdit)
  levels = noise_levels.logit_normal(recipe.shift)

  def captioned(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return latents[rows], data.tokens[data.prompt[rows]]

  def velocity(params: PyTree, x: Array, sigma: Array, tokens: Array) -> Array:
    condition = text.apply(params['text_encoder'], tokens)
    return flow.apply(params['transformer'], x, sigma, condition)

  trained = train(
    'flow',
    recipe.flow,
    lambda p, batch, k: flow_loss(partial(velocity, p), levels, batch, k),
    {name: base.params[name] for name in ('text_encoder', 'transformer')},
    captioned,
    seed=seed + 1,
  )
  empty = jnp.zeros(data.tokens.shape[1:], int)
  teacher = partial(guided(velocity, recipe.guidance, empty), trained)
  return train(
    'distillation',
    recipe.distillation,
    lambda p, batch, k: guidance_loss(
      partial(velocity, p), teacher, levels, batch, k
    ),
    trained,
    captioned,
    seed=seed + 3,
  )


def _decoder(
  base: Base,
  recipe: Recipe,
  data: CaptionedImages,
  train: Callable[..., PyTree],
  seed: int,
) -> dict[str, PyTree]:
  """The parameters of the autoencoder, whose decoder is trained further."""
  parts = base.params['autoencoder']['params']
  decoder = train(
    'decoder',
    recipe.decoder,
    partial(decoder_loss, Autoencoder(base.autoencoder), parts['encoder']),
    parts['decoder'],
    data.pixels,
    seed=seed,
  )
  return {'autoencoder': {'params': parts | {'decoder': decoder}}}


def _encoded(
  coder: Autoencoder, params: PyTree, data: CaptionedImages
) -> np.ndarray:
  """Returns the latents of all images, as `coder` scales them: [N, h, w, C]."""
  encode = jax.jit(lambda x: coder.apply(params, x, method='encode'))
  count = len(data.images)
  parts = np.array_split(np.arange(count), max(1, count // 1024))
  encoded = [np.asarray(encode(data.pixels(rows))) for rows in parts]
  return np.concatenate(encoded)
