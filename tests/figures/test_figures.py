"""The arithmetic behind the figures, and what they render to."""

import io

import numpy as np
from PIL import Image
import pytest

from adrpo_jax.figures import curves, heat_map, pareto
from adrpo_jax.figures.style import DARK, LIGHT, render
from adrpo_jax.stats.smoothing import running_mean, smoothing_window


def test_running_mean_averages_what_is_there_at_the_ends():
  got = running_mean(np.array([1.0, 2.0, 6.0, 3.0]), 3)
  np.testing.assert_allclose(got, [1.5, 3.0, 11 / 3, 4.5])


def test_running_mean_of_less_than_its_window():
  got = running_mean(np.array([2.0, 4.0]), 9)
  np.testing.assert_allclose(got, [3.0, 3.0])


@pytest.mark.parametrize(('length', 'window'), [(5, 1), (40, 5), (200, 21)])
def test_smoothing_window_is_odd_and_about_a_tenth(length, window):
  assert smoothing_window(length) == window


def test_rebinning_splits_a_bin_evenly():
  got = heat_map.rebin(
    np.array([0.0, 1.0, 2.0]),
    np.array([4.0, 8.0]),
    np.array([-1.0, 0.5, 1.5, 3.0]),
  )
  np.testing.assert_allclose(got, [2.0, 6.0, 4.0])


def test_heat_map_preserves_mass_whatever_the_edges():
  random = np.random.default_rng(0)
  histograms = []
  for _ in range(200):
    counts, edges = np.histogram(random.normal(size=64), 10)
    histograms.append({'edges': edges.tolist(), 'counts': counts.tolist()})
  made = heat_map.heat_map(histograms, list(range(200)))
  assert made.shares.shape == (heat_map.ROWS, heat_map.COLUMNS)
  np.testing.assert_allclose(made.shares.sum(0), 1.0, rtol=1e-12)
  assert made.steps[0] == 1.0  # 200 steps in 80 columns: the first has 0, 1, 2


def test_heat_map_of_a_fixed_beta_is_one_row():
  histogram = {'edges': [1.0, 1.0], 'counts': [32]}
  made = heat_map.heat_map([histogram], [0])
  assert made.edges[0] < 1.0 < made.edges[-1]
  np.testing.assert_allclose(made.shares.sum(), 1.0)


def test_heat_map_of_nothing_is_none():
  assert heat_map.heat_map([], []) is None
  assert heat_map.heat_map([{'edges': [0, 1], 'counts': [0]}], [0]) is None


def test_spread_apart_keeps_the_order_and_the_mean():
  got = curves.spread_apart([0.30, 0.10, 0.31, 0.12], 0.05)
  assert list(np.argsort(got)) == [1, 3, 0, 2]
  assert min(np.diff(np.sort(got))) >= 0.05 - 1e-12
  assert np.mean(got) == pytest.approx(0.2075)


def test_staircase_where_more_of_both_is_better():
  got = pareto.staircase([(0.9, 0.4), (0.7, 0.6)], rising=False)
  np.testing.assert_allclose(got, [(0.7, 0.6), (0.7, 0.4), (0.9, 0.4)])


def test_staircase_where_less_of_x_is_better():
  got = pareto.staircase([(0.3, 0.6), (0.0, 0.4)], rising=True)
  np.testing.assert_allclose(got, [(0.0, 0.4), (0.3, 0.4), (0.3, 0.6)])


def test_shared_area_counts_every_overlap():
  others = [(1.0, 1.0, 3.0, 3.0), (5.0, 5.0, 6.0, 6.0), (0.0, 0.0, 1.0, 2.0)]
  assert pareto.shared_area((0.0, 0.0, 2.0, 2.0), others) == 3.0


@pytest.mark.parametrize('theme', [LIGHT, DARK])
def test_figures_have_their_size_and_the_page_behind_them(theme):
  def draw(theme, axes):
    axes.plot([0, 1], [0, 1], color=theme.tuned)
    axes.set_title('a $prompt with_signs^')  # is no formula

  png = render(draw, theme, size=(2.0, 1.0))
  image = Image.open(io.BytesIO(png)).convert('RGB')
  assert image.size == (380, 190)
  red, green, blue = image.getpixel((1, 1))
  assert f'#{red:02x}{green:02x}{blue:02x}' == theme.surface


def test_wide_curves_have_a_logarithmic_scale_in_plain_numbers():
  from matplotlib.figure import Figure

  axes = Figure().subplots()
  steps = np.arange(3)
  curves.draw_curve(
    LIGHT,
    axes,
    training=curves.Points(steps, np.array([1e-3, 1e-2, 1.0]), None),
    held_out=curves.Points(steps[:2], np.array([0.0, 0.1]), None),
  )
  axes.figure.canvas.draw()
  assert axes.get_yscale() == 'log'
  labels = [t.get_text() for t in axes.get_yticklabels()]
  assert '0.01' in labels
  assert not any('$' in label for label in labels)
  assert axes.get_ylim()[0] > 1e-4  # the 0 of the base is left out
