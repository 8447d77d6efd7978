"""The shapes world as a tfds set, and prompts read by tfds name."""

import sys

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds

from adrpo_jax.data import prompts
from adrpo_jax.errors import InputError
from adrpo_jax.rewards.protocol import on_device
from adrpo_jax.types import PromptBatch
from adrpo_jax.worlds import shapes_judge, shapes_prompts, shapes_tfds

KEPT = 70  # examples of a split: more than are drawn at once


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  directory = str(tmp_path_factory.mktemp('tfds'))
  builder = shapes_tfds.AdrpoShapes(data_dir=directory)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(max_examples_per_split=KEPT)
  )
  return directory


def examples(data_dir, split):
  builder = tfds.builder('adrpo_shapes', data_dir=data_dir)
  return list(builder.as_data_source(split))


@pytest.mark.parametrize('split', shapes_tfds.SPLITS)
def test_examples_are_the_prompts_in_order_with_an_image(data_dir, split):
  rows = examples(data_dir, split)
  said = [(r['prompt'].decode(), r['category'].decode()) for r in rows]
  assert said == list(shapes_prompts.prompts(split)[:KEPT])
  assert rows[0]['image'].dtype == np.uint8
  assert rows[0]['image'].shape == (32, 32, 3)
  # Two prompts may share a scene ("a red square" drawn small), but few do.
  assert len({r['image'].tobytes() for r in rows}) > KEPT - 5


def test_images_show_their_prompts(data_dir):
  rows = examples(data_dir, 'held_out')
  facts = shapes_prompts.facts([r['prompt'].decode() for r in rows])
  images = np.stack([r['image'] for r in rows])[:, None] / 255
  scores = on_device(shapes_judge.judge)(
    PromptBatch.of_step(np.arange(len(rows)), facts=facts),
    images.astype(np.float32),
  )
  assert scores.measures['success'].mean() >= 0.995


def test_files_are_array_record_and_the_same_each_time(data_dir, tmp_path):
  builder = tfds.builder('adrpo_shapes', data_dir=data_dir)
  assert builder.info.file_format.value == 'array_record'
  again = shapes_tfds.AdrpoShapes(data_dir=str(tmp_path))
  again.download_and_prepare(
    download_config=tfds.download.DownloadConfig(max_examples_per_split=3)
  )
  for old, new in zip(
    examples(data_dir, 'train'), examples(str(tmp_path), 'train'), strict=False
  ):
    jax.tree.map(np.testing.assert_array_equal, old, new)


def test_prompts_load_by_name(data_dir):
  expected = shapes_prompts.prompts('held_out')[:KEPT]
  loaded = prompts.load('tfds:adrpo_shapes:held_out', data_dir=data_dir)
  assert tuple(zip(loaded.texts, loaded.categories, strict=True)) == expected
  train = prompts.load('tfds:adrpo_shapes:1.0.0', data_dir=data_dir)
  assert train.texts[0] == shapes_prompts.prompts('train')[0][0]
  few = prompts.load('tfds:adrpo_shapes:held_out[:5]', data_dir=data_dir)
  assert few.texts == loaded.texts[:5]


@pytest.mark.parametrize(
  ('source', 'feature', 'expected'),
  [
    (
      'tfds:adrpo_shapes:test',
      'prompt',
      r"\['held_out', 'train'\], got 'test'",
    ),
    ('tfds:no_such_set', 'prompt', 'tfds:no_such_set.*not found'),
    ('tfds:', 'prompt', r"Expected 'tfds:NAME\[:SPLIT\]', got 'tfds:'"),
    (
      'tfds:adrpo_shapes',
      'caption',
      r"feature caption.*'category', 'image', 'prompt'",
    ),
    ('tfds:adrpo_shapes', 'image', "text in the feature 'image', got ndarray"),
  ],
)
def test_errors_of_tfds_sources(data_dir, source, feature, expected):
  with pytest.raises(InputError, match=expected):
    prompts.load(source, data_dir=data_dir, text_feature=feature)


def test_tensorflow_is_not_needed(data_dir):
  examples(data_dir, 'train')
  assert 'tensorflow' not in sys.modules
