"""Images: what a run keeps of them, writes and logs."""

from collections.abc import Callable
import re
from typing import Any

from etils import epath
import jax.numpy as jnp
import numpy as np

from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.samples import image_file
from adrpo_jax.samples.image_file import Arrays
from adrpo_jax.types import Array

NAME_LENGTH = 60  # letters of a prompt in the names of its images
SMALL = 256  # pixels: smaller images are enlarged, so that they can be seen
# (images [B, H, W, 3] in [0, 1]) -> what is in each, as text
Describe = Callable[[Array], list[str]]


def arrays(images: Array) -> dict[str, Array]:
  """The images of a run as it keeps them, in bytes."""
  return {'images': in_bytes(images)}


def in_bytes(images: Array) -> Array:
  """[0, 1] -> uint8."""
  return jnp.round(jnp.clip(images, 0, 1) * 255).astype(jnp.uint8)


def keep(
  describe: Describe,
  path: epath.Path,
  fields: Arrays,
  prompts: PromptSet,
) -> None:
  """Writes images with what the judge sees in them; see `image_file`."""
  images = fields['images']
  pixels = images.reshape(-1, *images.shape[2:]) / np.float32(255)
  verdicts: Any = np.array(describe(jnp.asarray(pixels)))
  image_file.write(
    path,
    image_file.Samples(
      images=images,
      prompts=np.array(prompts.texts),
      categories=np.array(prompts.categories),
      rewards=fields['rewards'],
      success=image_file.succeeded(fields),
      verdicts=verdicts.reshape(images.shape[:2]),
    ),
  )


def write(
  describe: Describe, folder: epath.Path, prompts: PromptSet, fields: Arrays
) -> None:
  """Writes images as PNG, and their prompts; see `scoring.image_folder`."""
  del describe  # Who looks at the images sees what is in them.
  from PIL import Image

  texts = prompts.texts
  lines = [' '.join(text.split()) for text in texts]
  (folder / 'prompts.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
  for p, (text, row) in enumerate(zip(texts, fields['images'], strict=True)):
    words = re.sub(r'[^\w]+', '_', text.lower()).strip('_')[:NAME_LENGTH]
    for i, image in enumerate(row):
      name = f'{p:05d}_{i:02d}_{words}.png'
      Image.fromarray(_enlarged(image)).save(folder / name)


def _enlarged(image: np.ndarray) -> np.ndarray:
  """An image [H, W, 3] with sides of up to SMALL pixels; larger ones as is."""
  times = max(1, SMALL // max(image.shape))
  return np.kron(image, np.ones((times, times, 1), np.uint8))


def logged(path: epath.Path) -> dict[str, Any]:
  """An image for each prompt of a kept file: its samples side by side."""
  import wandb

  samples = image_file.read(path)
  large = max(samples.images.shape[2:4]) > SMALL
  rows = zip(samples.images, samples.prompts, samples.rewards, strict=True)
  return {
    'samples': [
      wandb.Image(
        np.concatenate([_enlarged(image) for image in images], 1),
        caption=f'{prompt}: {", ".join(f"{r:.3g}" for r in rewards)}',
        file_type='jpg' if large else 'png',
      )
      for images, prompt, rewards in rows
    ]
  }
