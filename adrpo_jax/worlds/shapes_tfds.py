"""The shapes world as a tensorflow_datasets set, `adrpo_shapes`.

  import adrpo_jax.worlds.shapes_tfds
  builder = tfds.builder('adrpo_shapes', data_dir=...)
  builder.download_and_prepare()
  examples = builder.as_data_source('train')   # random access, numpy

The splits `train` and `held_out` share no combination of facts. The files are
ArrayRecord, and TensorFlow is not needed to write or to read them.
"""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import tensorflow_datasets as tfds

from adrpo_jax.worlds import shapes, shapes_prompts

SPLITS = ('train', 'held_out')
SEED = 0  # of the images
BATCH_SIZE = 64


class AdrpoShapes(tfds.core.GeneratorBasedBuilder):
  """One image for each prompt of the shapes world, right by construction."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}  # noqa: RUF012, as tfds has it

  def __init__(self, *, file_format: str = 'array_record', **kwargs: Any):
    super().__init__(file_format=file_format, **kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    side = shapes.SIDE
    return tfds.core.DatasetInfo(
      builder=self,
      disable_shuffling=True,  # the index of an example is the id of its prompt
      description=(
        'Scenes of colored shapes and the English prompts they satisfy: '
        f'{", ".join(shapes_prompts.CATEGORIES)}.'
      ),
      features=tfds.features.FeaturesDict(
        {
          'prompt': tfds.features.Text(),
          'category': tfds.features.Text(),
          'image': tfds.features.Tensor(shape=(side, side, 3), dtype=np.uint8),
        }
      ),
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    del dl_manager  # Nothing is downloaded.
    return {s: self._generate_examples(s) for s in SPLITS}

  def _generate_examples(
    self, split: str
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    """(prompt id, example), in the order of `shapes_prompts.prompts(split)`."""
    key = jax.random.fold_in(jax.random.key(SEED), SPLITS.index(split))
    draw = jax.jit(shapes.draw)
    prompts = shapes_prompts.prompts(split)
    for start in range(0, len(prompts), BATCH_SIZE):
      chunk = prompts[start : start + BATCH_SIZE]
      # The last chunk is padded, so that drawing is compiled once.
      texts = [text for text, _ in chunk]
      texts += texts[-1:] * (BATCH_SIZE - len(texts))
      images = draw(shapes_prompts.facts(texts), jax.random.fold_in(key, start))
      pixels = np.round(np.asarray(images) * 255).astype(np.uint8)
      for i, (text, category) in enumerate(chunk):
        yield (
          start + i,
          {'prompt': text, 'category': category, 'image': pixels[i]},
        )
