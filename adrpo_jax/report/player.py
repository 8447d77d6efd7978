"""The player of a clip: its sound, and a picture of what the model hears.

Both are parts of the page, as data URIs. A second of sound takes 43 kB of it at
16 kHz; `samples.clips.LONGEST` limits a clip to 0.53 MB.
"""

import io
import wave

import numpy as np

from adrpo_jax.report import page
from adrpo_jax.samples.clips import Clip

WIDEST = 400  # columns of a picture
COLOR = (64, 110, 220)  # of the loudest; silence is transparent


def wav(clip: Clip) -> bytes:
  """Encodes the sound as a WAV file of one channel in 16 bits."""
  buffer = io.BytesIO()
  with wave.open(buffer, 'wb') as file:
    file.setparams((1, 2, clip.rate, 0, 'NONE', ''))
    file.writeframes(clip.wave.astype('<i2').tobytes())
  return buffer.getvalue()


def picture(mel: np.ndarray) -> bytes:
  """Returns a PNG of a log-mel [f, M] uint8: time runs right, pitch up.

  The picture has M rows and at most WIDEST columns. Its only color has the
  opacity of the value, so it suits light and dark pages.
  """
  from PIL import Image

  image = Image.fromarray(np.ascontiguousarray(mel.T[::-1]))
  if image.width > WIDEST:
    size = WIDEST, image.height
    image = image.resize(size, Image.Resampling.BOX)
  image.putpalette(COLOR * 256)
  buffer = io.BytesIO()
  opacity = bytes(range(256))
  image.save(buffer, 'PNG', transparency=opacity, optimize=True)
  return buffer.getvalue()


def length(clip: Clip) -> str:
  """Returns the length of a clip, and how much of it there is if it is cut."""
  whole = f'{clip.seconds:.1f} s'
  if not clip.is_cut:
    return whole
  return f'the first {len(clip.wave) / clip.rate:.1f} s of {whole}'


def player(clip: Clip) -> str:
  """Returns the picture of a clip above the controls that play it."""
  frames, bands = clip.mel.shape
  caption = f'log-mel of {length(clip)}'
  if clip.heard:
    caption += f': {clip.heard}'
  return (
    '<figure class="clip">'
    f'<img src="{page.data_uri("image/png", picture(clip.mel))}" '
    f'alt="log-mel of {frames} frames and {bands} bands">'
    '<audio controls preload="metadata" '
    f'src="{page.data_uri("audio/wav", wav(clip))}"></audio>'
    f'<figcaption>{page.text(caption)}</figcaption></figure>'
  )
