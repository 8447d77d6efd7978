"""Blocks of the TPU kernel of attention, by hand."""

import pytest

from adrpo_jax.models.attention_blocks import SCORES, Blocks, blocks_of


@pytest.mark.parametrize(
  ('length', 'masked', 'blocks'),
  [
    (7, False, Blocks(128, 128, 128, 128)),
    (1024, False, Blocks(1024, 1024, 1024, 1024)),  # 2²⁰ scores
    (1357, False, Blocks(1408, 704, 1408, 704)),  # 512² and text: 2 · 704
    (1664, False, Blocks(1664, 416, 1664, 416)),  # 13 · 128 = 4 · 416
    (2637, False, Blocks(2688, 896, 896, 896)),  # 768² and text: 3 · 896
    (4429, False, Blocks(4480, 896, 896, 896)),  # 1024² and text: 5 · 896
    (150, True, Blocks(256, 256, 256, 256)),
    (600, True, Blocks(1024, 512, 512, 512)),
    (1536, True, Blocks(1536, 512, 512, 512)),
  ],
)
def test_blocks_by_hand(length, masked, blocks):
  assert blocks_of(length, masked) == blocks


@pytest.mark.parametrize('masked', [False, True])
def test_blocks_divide_what_they_cover(masked):
  for length in range(1, 5000, 7):
    whole, queries, keys, rows = blocks_of(length, masked)
    assert whole >= length
    assert whole % queries == whole % keys == keys % rows == 0
    assert keys % 128 == 0
    assert max(queries * keys, rows * keys) <= SCORES


def test_little_is_padding():
  """Where the kernel leaves out nothing, padding is its only needless work."""
  for length in range(512, 5000, 7):
    assert blocks_of(length, False).length < length + 384
  for length in range(512, 1665):
    assert blocks_of(length, False).length < length + 128
