"""Image files of cameras, scanners and Macs, and damaged ones."""

import io
import struct
import zlib

import numpy as np
from PIL import Image
import pytest

from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.scoring import image_files, image_folder

ONE = PromptSet(('a heron',), ('',))
PICTURE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)


def chunk(name, content):
  """A chunk of a PNG file."""
  whole = name + content
  return (
    struct.pack('>I', len(content))
    + whole
    + struct.pack('>I', zlib.crc32(whole))
  )


def png(width, height, *, bits, kind, rows, before=b'', after=b''):
  """A PNG file of rows of bytes, with chunks before and after the pixels."""
  head = struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, 0)
  pixels = zlib.compress(b''.join(b'\0' + row for row in rows))
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', head)
    + before
    + chunk(b'IDAT', pixels)
    + after
    + chunk(b'IEND', b'')
  )


def turned_by_exif(orientation):
  """PICTURE stored so that EXIF's orientation shows it as it is."""
  undo = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, 1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x, -1),
  }[orientation]
  exif = Image.Exif()
  exif[0x0112] = orientation
  return Image.fromarray(np.ascontiguousarray(undo(PICTURE))), exif


def judged(folder, prompts=ONE):
  """The pixels that a reward gets of a folder."""
  return image_folder.read_images(
    image_folder.find_images(str(folder), prompts).files
  )


@pytest.mark.parametrize('kind', ['gray', 'gray and alpha', 'RGB'])
def test_16_bits_are_the_picture_of_8(kind, tmp_path):
  levels = np.array([[0, 1, 127], [128, 254, 255]], np.uint8)
  channels = {'gray': 1, 'gray and alpha': 2, 'RGB': 3}[kind]
  wide = (levels * np.uint16(257))[..., None].repeat(channels, -1)
  code = {'gray': 0, 'gray and alpha': 4, 'RGB': 2}[kind]
  rows = [row.astype('>u2').tobytes() for row in wide]
  content = png(3, 2, bits=16, kind=code, rows=rows)
  (tmp_path / '0.png').write_bytes(content)
  np.testing.assert_array_equal(
    judged(tmp_path)[0, 0], levels[..., None].repeat(3, -1)
  )


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('ending', ['png', 'webp'])
def test_exif_turns_pixels(orientation, ending, tmp_path):
  stored, exif = turned_by_exif(orientation)
  stored.save(tmp_path / f'0.{ending}', exif=exif, lossless=True)
  Image.fromarray(PICTURE).save(tmp_path / '1.png')
  pixels = judged(tmp_path, PromptSet(('a', 'b'), ('', '')))
  np.testing.assert_array_equal(pixels[0], pixels[1])
  np.testing.assert_array_equal(pixels[0, 0], PICTURE)


def test_exif_turns_gray_of_16_bits_and_jpeg(tmp_path):
  wide = 1000 * np.arange(6, dtype=np.uint16).reshape(2, 3)
  _, exif = turned_by_exif(6)
  turn = chunk(b'eXIf', exif.tobytes()[6:])
  rows = [row.astype('>u2').tobytes() for row in wide]
  content = png(3, 2, bits=16, kind=0, rows=rows, before=turn)
  (tmp_path / '0.png').write_bytes(content)
  np.testing.assert_array_equal(
    judged(tmp_path)[0, 0, ..., 0], np.rot90(wide // 256, -1)
  )
  stored, _ = turned_by_exif(6)
  stored.save(tmp_path / '1.jpg', exif=exif)
  file = image_files.epath.Path(tmp_path / '1.jpg')
  assert image_files.read_size(file) == (6, 4)
  assert image_files.read_pixels(file).shape == (4, 6, 3)


def test_exif_behind_the_pixels(tmp_path):
  _, exif = turned_by_exif(6)
  turn = chunk(b'eXIf', exif.tobytes()[6:])
  rows = [bytes(3), bytes(3)]
  for name, after in (('0_0.png', b''), ('0_1.png', turn)):
    content = png(3, 2, bits=8, kind=0, rows=rows, after=after)
    (tmp_path / name).write_bytes(content)
  with pytest.raises(InputError, match=r'one size.*turned by EXIF'):
    judged(tmp_path)


def saved(ending='png', **options):
  file = io.BytesIO()
  Image.fromarray(PICTURE.repeat(8, 0).repeat(8, 1)).save(
    file, ending, **options
  )
  return file.getvalue()


DAMAGED = {
  'nothing': b'',
  'a page': b'<html>404</html>',
  'a chunk name': saved().replace(b'IDAT', b'\x01DAT'),
  'a chunk length': saved().replace(b'\0\0\0\x0dIHDR', b'\0\0\0\x0cIHDR'),
  'no pixels': png(6, 4, bits=8, kind=2, rows=[]),
  'bits': png(6, 4, bits=3, kind=2, rows=[bytes(18)] * 4),
  'EXIF': saved('webp', exif=b'Exif\0\0MM\0*\0'),
  'another format': saved('tiff'),
  'a cut jpeg': saved('jpeg')[:300],
  'a cut webp': saved('webp', lossless=True)[:90],
  'far too many pixels': png(13500, 13500, bits=1, kind=0, rows=[bytes(1688)]),
  'too many pixels': png(10000, 10000, bits=1, kind=0, rows=[bytes(1250)]),
  'a text of 70 MB': png(
    *(6, 4),
    bits=8,
    kind=0,
    rows=[bytes(6)] * 4,
    before=chunk(b'zTXt', b'a\0\0' + zlib.compress(bytes(70_000_000))),
  ),
}


@pytest.mark.parametrize('damage', DAMAGED)
def test_what_cannot_be_read_is_named(damage, tmp_path):
  (tmp_path / '0.png').write_bytes(DAMAGED[damage])
  with pytest.raises(
    InputError, match=r'Expected a complete image in .*0\.png, as PNG'
  ):
    judged(tmp_path)


def test_damaged_bytes_are_an_image_or_an_error(tmp_path):
  """One byte of a file is another: pixels, or an error that names the file."""
  rng = np.random.default_rng(1)
  told = []
  for whole in (saved(), saved('jpeg'), saved('webp', lossless=True)):
    for _ in range(60):
      damaged = bytearray(whole)
      damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
      (tmp_path / '0.png').write_bytes(damaged)
      try:
        assert judged(tmp_path).dtype == np.uint8
      except InputError as error:
        told.append(str(error))
  assert len(told) > 30
  assert all('0.png' in error for error in told)


def test_hidden_files_are_left_aside(tmp_path):
  """macOS puts ._NAME beside NAME, and __MACOSX into archives."""
  for i, folder in enumerate(('00000', '00001/samples')):
    (tmp_path / folder).mkdir(parents=True)
    Image.fromarray(PICTURE + i).save(tmp_path / folder / '0000.png')
    (tmp_path / folder / '._0000.png').write_bytes(b'\0\5\x16\7Mac OS X')
  (tmp_path / '._00000').write_bytes(b'\0\5\x16\7Mac OS X')
  (tmp_path / '._0.png').write_bytes(b'\0\5\x16\7Mac OS X')
  for stray in ('.ipynb_checkpoints', '__MACOSX/00000'):
    (tmp_path / stray).mkdir(parents=True)
    (tmp_path / stray / '0-checkpoint.png').write_bytes(b'')
  pixels = judged(tmp_path, PromptSet(('a', 'b'), ('', '')))
  assert pixels.shape == (2, 1, 4, 6, 3)
  np.testing.assert_array_equal(pixels[1, 0], PICTURE + 1)
