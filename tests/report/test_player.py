"""The player of a clip: its sound, the picture of its mel, and its words."""

import base64
import io
import re
import wave

from html_pages import assert_stands_alone
import numpy as np
from PIL import Image
from test_report_texts import still, two_answers

from adrpo_jax.report import page, text_cards
from adrpo_jax.report.cards import Column
from adrpo_jax.report.player import WIDEST, length, picture, player
from adrpo_jax.samples.clips import LONGEST, clip_of

RATE = 16000


def sweep(seconds):
  """A wave of rising pitch and a mel whose one loud band rises with it."""
  time = np.arange(round(seconds * RATE)) / RATE
  frames = len(time) // 320
  bands = 64 * np.arange(frames) // max(frames, 1)
  mel = np.where(np.arange(64) == bands[:, None], 1.0, -1.0)
  return 0.7 * np.sin(2 * np.pi * (200 + 300 * time) * time), mel


def content_of(html, kind):
  data = re.search(f'src="data:{kind};base64,([^"]*)"', html).group(1)
  return base64.b64decode(data, validate=True)


def test_the_sound_of_the_page_is_the_clip():
  sound, mel = sweep(2.4)
  html = player(clip_of(sound, RATE, mel))
  with wave.open(io.BytesIO(content_of(html, 'audio/wav'))) as file:
    assert file.getparams()[:4] == (1, 2, RATE, len(sound))
    levels = np.frombuffer(file.readframes(len(sound)), '<i2')
  assert np.abs(levels / 32767 - sound).max() <= 1 / 32767
  assert np.abs(levels).max() > 20000
  assert '<audio controls' in html
  assert '2.4 s' in html


def test_the_picture_has_a_row_for_each_band_and_pitch_goes_up():
  sound, mel = sweep(2.4)
  html = player(clip_of(sound, RATE, mel))
  image = Image.open(io.BytesIO(content_of(html, 'image/png')))
  assert image.size == (len(mel), 64) == (120, 64)
  alpha = np.asarray(image.convert('RGBA'))[..., 3]
  assert set(np.unique(alpha)) == {0, 255}
  assert alpha[63, 0] == alpha[0, -1] == 255
  assert (alpha == 255).sum() == len(mel)
  assert f'log-mel of {len(mel)} frames and 64 bands' in html


def test_the_picture_of_a_long_clip_is_reduced():
  loud = np.full((10 * WIDEST, 8), 255, np.uint8)
  image = Image.open(io.BytesIO(picture(loud)))
  assert image.size == (WIDEST, 8)
  assert (np.asarray(image.convert('RGBA'))[..., 3] == 255).all()


def test_a_clip_that_is_cut_says_so():
  clip = clip_of(np.zeros(30 * RATE), RATE, np.zeros((3000, 8)))
  assert length(clip) == 'the first 12.5 s of 30.0 s'
  html = player(clip)
  assert len(content_of(html, 'audio/wav')) == 2 * LONGEST + 44
  assert len(html) < 560_000


def test_words_of_a_clip_are_escaped():
  clip = clip_of(np.zeros(800), RATE, np.zeros((3, 2)), '<b>"bell" & buzz')
  assert 'of 0.1 s: &lt;b&gt;&quot;bell&quot; &amp; buzz' in player(clip)
  assert '<b>' not in player(clip)


def test_answers_stand_below_the_clip_of_their_prompt(tmp_path):
  samples = two_answers(
    clips=(clip_of(*sweep(1.0)[:1], RATE, np.ones((3, 2))),)
  )
  columns = Column('Base', still(samples)), Column('Tuned', samples)
  for content in (text_cards.pairs(*columns), text_cards.by_method(columns)):
    assert content.count('<audio') == 1
    assert content.index('“&lt;p&gt;') < content.index('<audio')
    assert content.index('<audio') < content.index('class="answer"')
    (tmp_path / 'page.html').write_text(page.page('Clips', content))
    assert_stands_alone(tmp_path / 'page.html')
  silent = Column('Base', still(two_answers()))
  assert '<audio' not in text_cards.pairs(silent, silent)
