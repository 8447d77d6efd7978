"""What a report says about a reply of the tones world."""

import pytest

from adrpo_jax.worlds.tones.verdicts import heard, verdict

TEXT = 'How often is beep heard? 1, 0, 2, 4'
RIGHT = '<think> beep buzz beep </think> <answer> 2 </answer>'


@pytest.mark.parametrize(
  ('reply', 'words'),
  [
    (RIGHT, 'beep ✓ buzz ✓ beep ✓ · consistent'),
    (
      '<think> beep hiss </think> <answer> 1 </answer>',
      'beep ✓ hiss ✗ (buzz) · missed beep · consistent',
    ),
    (
      '<think> beep buzz beep thud </think> <answer> 1 </answer>',
      'beep ✓ buzz ✓ beep ✓ thud ✗ (nothing) · not consistent',
    ),
    ('<answer> 2 </answer>', 'no thought · missed beep buzz beep'),
    ('', 'no thought · missed beep buzz beep'),
    (
      '<think> <b> </think> 2',
      'no thought · missed beep buzz beep',
    ),
  ],
)
def test_each_event_has_its_verdict(reply, words):
  assert verdict(TEXT, reply, RIGHT) == words


def test_a_clip_is_said_by_its_kinds():
  assert heard('tones:sound:beep,buzz:17') == 'beep buzz'
