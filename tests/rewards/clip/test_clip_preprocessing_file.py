"""Every field of a preprocessing file is obeyed or refused."""

import dataclasses
import json

import pytest
import tiny_clip

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.clip.folder import read_clip
from adrpo_jax.rewards.clip.preprocess import MEAN, STD

EDGE = tiny_clip.VISION.image_size
CLIP_L14 = {  # of openai/clip-vit-large-patch14, for this edge
  'crop_size': EDGE,
  'do_center_crop': True,
  'do_normalize': True,
  'do_resize': True,
  'feature_extractor_type': 'CLIPFeatureExtractor',
  'image_mean': list(MEAN),
  'image_std': list(STD),
  'resample': 3,
  'size': EDGE,
}
CLIP_H14 = CLIP_L14 | {  # of laion/CLIP-ViT-H-14 and PickScore_v1
  'crop_size': {'height': EDGE, 'width': EDGE},
  'do_convert_rgb': True,
  'do_rescale': True,
  'image_processor_type': 'CLIPImageProcessor',
  'processor_class': 'CLIPProcessor',
  'rescale_factor': 0.00392156862745098,
  'size': {'shortest_edge': EDGE},
}


@pytest.fixture
def folder(tmp_path):
  """A folder with the config alone, which is read before the weights."""
  (tmp_path / 'config.json').write_text(json.dumps(tiny_clip.config()))
  return tmp_path


def read(folder, fields):
  (folder / 'preprocessor_config.json').write_text(json.dumps(fields))
  return read_clip(str(folder))


@pytest.mark.parametrize(
  'fields',
  [
    {},
    CLIP_L14,
    CLIP_H14,
    dict.fromkeys(CLIP_H14),
    {'data_format': 'channels_first', 'do_pad': False, 'do_convert_rgb': False},
  ],
)
def test_files_of_clip_towers_are_read(fields, folder):
  clip = read(folder, fields)
  assert dataclasses.asdict(clip.vision) == dataclasses.asdict(tiny_clip.VISION)
  nested = {'image_processor': fields, 'processor_class': 'CLIPProcessor'}
  (folder / 'processor_config.json').write_text(json.dumps(nested))
  assert read_clip(str(folder)).vision == clip.vision


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'do_resize': False}, 'do_resize = true'),
    ({'do_center_crop': False}, 'do_center_crop = true'),
    ({'do_rescale': False}, 'do_rescale = true'),
    ({'do_normalize': False}, 'do_normalize = true'),
    ({'do_normalize': 'yes'}, 'do_normalize = true'),
    ({'do_pad': True}, 'do_pad = false'),
    ({'rescale_factor': 1 / 127.5}, 'rescale_factor = 1/255'),
    ({'rescale_factor': '1/255'}, 'rescale_factor = 1/255'),
    ({'resample': 2}, r'resample = 3, bicubic .*got 2'),
    ({'resample': True}, 'resample = 3'),
    ({'image_mean': [0.5, 0.5, 0.5]}, r'image_mean.*got \[0.5, 0.5, 0.5\]'),
    ({'image_mean': 0.5}, 'image_mean'),
    ({'image_std': [0.5, 0.5]}, 'image_std'),
    ({'image_std': ['a', 'b', 'c']}, 'image_std'),
    ({'size': EDGE + 1}, f'size = {EDGE} along the shortest edge'),
    ({'size': {'shortest_edge': EDGE + 1}}, 'size = '),
    ({'size': {'height': EDGE, 'width': EDGE}}, 'shortest edge'),
    ({'size': {'shortest_edge': EDGE, 'longest_edge': 99}}, 'shortest edge'),
    ({'size': True}, 'size = '),
    ({'crop_size': 2 * EDGE}, f'crop_size = {EDGE} along both'),
    ({'crop_size': {'height': EDGE, 'width': EDGE + 2}}, 'crop_size'),
    ({'crop_size': [EDGE, EDGE]}, 'crop_size'),
    ({'image_processor_type': 'SiglipImageProcessor'}, 'CLIPImageProcessor'),
    ({'feature_extractor_type': 'ViTFeatureExtractor'}, 'CLIPImageProcessor'),
    ({'crop_pct': 0.9}, 'crop_pct = nothing'),
    ({'auto_map': {'AutoImageProcessor': 'own.Own'}}, 'auto_map = nothing'),
  ],
)
def test_what_is_not_obeyed_is_refused(fields, said, folder):
  with pytest.raises(InputError, match=said) as error:
    read(folder, CLIP_H14 | fields)
  assert 'preprocessor_config.json' in str(error.value)
  (folder / 'preprocessor_config.json').unlink()
  nested = {'image_processor': CLIP_H14 | fields}
  (folder / 'processor_config.json').write_text(json.dumps(nested))
  with pytest.raises(InputError, match=said):
    read_clip(str(folder))
