"""Folders of images by their prompts, and what is wrong with some."""

import numpy as np
from PIL import Image
import pytest

from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.scoring import image_folder

PROMPTS = PromptSet(('a cat', 'two dogs', 'an owl'), ('one', 'two', 'one'))


def save(path, value, size=(6, 4), mode='RGB'):
  """A image of one gray; size is (width, height), as Pillow has it."""
  path.parent.mkdir(parents=True, exist_ok=True)
  color = value if mode == 'L' else (value,) * 3
  Image.new(mode, size, color).save(path)


NAMINGS = {
  'flat': '{prompt:05d}_{sample:02d}.png',
  'dashes and words': '{prompt}-{sample}-a_cat.PNG',
  'folders': '{prompt:05d}/{sample:04d}.png',
  'geneval': '{prompt:05d}/samples/{sample:04d}.png',
}


@pytest.mark.parametrize('naming', NAMINGS)
def test_images_find_their_prompts(naming, tmp_path):
  for prompt in (2, 0, 1):
    for sample in (1, 0):
      name = NAMINGS[naming].format(prompt=prompt, sample=sample)
      save(tmp_path / name, 10 * prompt + sample)
    if naming == 'geneval':  # what its scripts put beside them
      save(tmp_path / f'{prompt:05d}' / 'grid.png', 255, (20, 20))
      (tmp_path / f'{prompt:05d}' / 'metadata.jsonl').write_text('{}')
  (tmp_path / 'notes.txt').write_text('not a image')
  found = image_folder.find_images(str(tmp_path), PROMPTS)
  pixels = image_folder.read_images(found.files)
  assert pixels.shape == (3, 2, 4, 6, 3)
  assert pixels.dtype == np.uint8
  np.testing.assert_array_equal(
    pixels[:, :, 0, 0, 0], [[0, 1], [10, 11], [20, 21]]
  )
  assert found.prompts is PROMPTS


def test_one_image_a_prompt_and_other_kinds(tmp_path):
  save(tmp_path / '0.png', 7, mode='L')
  save(tmp_path / '1.webp', 90)
  save(tmp_path / '2.jpg', 128)
  pixels = image_folder.read_images(
    image_folder.find_images(str(tmp_path), PROMPTS).files
  )
  assert pixels.shape == (3, 1, 4, 6, 3)
  np.testing.assert_allclose(pixels[:, 0, 0, 0, 1], [7, 90, 128], atol=2)


def broken_none(folder):
  folder.rmdir()


def broken_empty(folder):
  (folder / 'x.txt').write_text('')


def broken_name(folder):
  save(folder / 'cat_0.png', 0)


def broken_beyond(folder):
  for i in range(1, 4):  # counted from 1
    save(folder / f'{i}.png', 0)


def broken_missing(folder):
  save(folder / '0.png', 0)
  save(folder / '2.png', 0)


def broken_counts(folder):
  for name in ('0_0', '0_1', '1_0', '1_1', '2_0'):
    save(folder / f'{name}.png', 0)


def broken_sizes(folder):
  for i in range(3):
    save(folder / f'{i}.png', 0, (6 + i // 2, 4))


def broken_file(folder):
  for i in range(3):
    save(folder / f'{i}.png', 0)
  (folder / '1.png').write_text('an error page')


@pytest.mark.parametrize(
  ('breaks', 'said'),
  [
    (broken_none, 'Expected a folder of images at'),
    (broken_empty, r'Expected images in .*found none.*00012_03\.png'),
    (broken_name, r'number of a prompt in the name of .*cat_0\.png'),
    (broken_beyond, r'prompts 0 to 2 .*do not exist: \[3\].*counted from 0'),
    (broken_missing, r'no images of prompts: \[1\]'),
    (broken_counts, 'got 2 of prompt 0 and 1 of prompt 2'),
    (broken_sizes, r'6 × 4 in .*0\.png and 7 × 4 in .*2\.png'),
    (broken_file, r'Expected a complete image in .*1\.png'),
  ],
)
def test_what_is_wrong_is_told(breaks, said, tmp_path):
  folder = tmp_path / 'drawn'
  folder.mkdir()
  breaks(folder)
  with pytest.raises(InputError, match=said):
    image_folder.find_images(str(folder), PROMPTS)


def test_an_image_that_was_cut_short(tmp_path):
  rng = np.random.default_rng(0)
  noise = rng.integers(0, 256, (40, 40, 3), np.uint8)
  for i in range(3):
    Image.fromarray(noise).save(tmp_path / f'{i}.png')
  whole = (tmp_path / '1.png').read_bytes()
  (tmp_path / '1.png').write_bytes(whole[: len(whole) // 2])
  found = image_folder.find_images(str(tmp_path), PROMPTS)
  with pytest.raises(
    InputError, match=r'Expected a complete image in .*1\.png'
  ):
    image_folder.read_images(found.files)
