"""Scores of images by the embeddings of a CLIP pair, on the device.

  cos = e_image · e_text / (‖e_image‖·‖e_text‖)

Texts are embedded once, when a reward is made. Towers are replicated over all
devices, and a device judges its own rows of images.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.clip.diversity import clip_diversity, unit
from adrpo_jax.rewards.clip.folder import read_clip
from adrpo_jax.rewards.clip.preprocess import (
  Preprocess,
  clip_pixels,
  hps_pixels,
)
from adrpo_jax.rewards.clip.towers import (
  PRECISION,
  Replicated,
  VisionTower,
  embed_texts,
  logit_scale,
  vision_tower,
)
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.types import Array, Metrics, PromptBatch, PyTree, Scores

OPENAI_L14 = 'openai/clip-vit-large-patch14'

# (embeddings [P, G, D] of images, rows [P, 1, ...] of prompts) -> [P, G]
EmbeddingJudge = Callable[[Array, Array], Array]


def clip_score(
  texts: Sequence[str], invalid_limit: float, *, path: str = OPENAI_L14
) -> Reward:
  """100 · cos, CLIPScore as papers on text-to-image report it: 25 to 35.

  Numbers of different towers are not comparable; the default tower is ViT-L/14.
  Measures: those of `clip_diversity`. This is not the 2.5 · max(cos, 0) of
  Hessel et al. (https://arxiv.org/abs/2104.08718).
  """
  del invalid_limit  # Only images that are not finite are invalid.
  return _text_reward(texts, path, '', clip_pixels, 100.0, clip_diversity)


def pick_score(
  texts: Sequence[str],
  invalid_limit: float,
  *,
  path: str,
  divided_by: float = 1.0,
) -> Reward:
  """exp(s) · cos with the trained scale s, PickScore: 18 to 24.

  It ranks images of one prompt. Kirstain et al., `Pick-a-Pic
  <https://arxiv.org/abs/2305.01569>`_, 2023; Flow-GRPO divides it by 26. `path`
  is that of the weights of PickScore_v1 as safetensors.
  """
  del invalid_limit
  if not divided_by > 0:
    raise InputError(f'Expected divided_by > 0, got {divided_by}.')
  scale = logit_scale(read_clip(path)) / divided_by
  return _text_reward(texts, path, '', clip_pixels, scale)


def hps_v2(
  texts: Sequence[str], invalid_limit: float, *, path: str, base: str = ''
) -> Reward:
  """cos, the Human Preference Score v2: 0.2 to 0.35.

  It ranks images of one prompt; versions 2.0 and 2.1 are not comparable. Wu et
  al., `HPS v2 <https://arxiv.org/abs/2306.09341>`_, 2023. Weights in the layout
  of transformers or of open_clip, as safetensors; for the latter `base` is a
  CLIP ViT-H/14 in the layout of transformers, for its config and tokenizer.
  """
  del invalid_limit
  return _text_reward(texts, path, base, hps_pixels, 1.0)


def embedding_reward(
  tower: VisionTower,
  preprocess: Preprocess,
  rows: np.ndarray,
  judge: EmbeddingJudge,
  measures: Callable[[Array, Array], Metrics] = lambda embeddings, valid: {},
) -> Reward:
  """Makes a reward of a judge of image embeddings.

  Args:
    tower: embeds the images.
    preprocess: of the images for the tower.
    rows: [N, ...], what the judge gets of each of the N prompts.
    judge: see `EmbeddingJudge`.
    measures: (embeddings [P, G, D], valid [P, G]) -> name -> [P, G].

  Returns:
    A reward; samples whose score is not finite are invalid, and so are those
    of ids beyond N.
  """
  size, prompt_rows = tower.model.config.image_size, Replicated(rows)

  @jax.jit
  def score(params: PyTree, rows: Array, ids: Array, images: Array) -> Scores:
    flat = images.reshape(-1, *images.shape[2:])
    with jax.default_matmul_precision(PRECISION):
      embeddings = tower.apply(params, preprocess(flat, size))
      embeddings = embeddings.reshape(*images.shape[:2], -1)
      of_prompts = rows.at[ids].get(mode='fill', fill_value=jnp.nan)
      rewards = judge(embeddings, of_prompts[:, None])
    valid = jnp.isfinite(rewards)
    return Scores(
      jnp.where(valid, rewards, 0), valid, measures(embeddings, valid)
    )

  def reward(prompts: PromptBatch, images: Array) -> Scores:
    images = jnp.asarray(images)
    params = tower.params.on_devices_of(images)
    rows = prompt_rows.on_devices_of(images)
    return score(params, rows, prompts.ids, images)

  return reward


def _text_reward(
  texts: Sequence[str],
  path: str,
  base: str,
  preprocess: Preprocess,
  scale: float,
  measures: Callable[[Array, Array], Metrics] = lambda embeddings, valid: {},
) -> Reward:
  """The reward scale · cos of an image and the text of its prompt."""
  clip = read_clip(path, base)
  return embedding_reward(
    vision_tower(clip),
    preprocess,
    np.asarray(unit(jnp.asarray(embed_texts(clip, texts)))),
    lambda images, texts: scale * (unit(images) * texts).sum(-1),
    measures,
  )
