"""report.html: its numbers, notes on missing data, and that it stands alone."""

import dataclasses
import io
import json

from html_pages import assert_stands_alone, seen, text_of
import numpy as np
from PIL import Image
import pytest
import synthetic_runs

from adrpo_jax.report import headline, image_cards, page
from adrpo_jax.report.cards import Column, chosen_prompts, same_prompts
from adrpo_jax.report.run_record import read_run
from adrpo_jax.report.write import duration, write_report
from adrpo_jax.samples.image_file import Samples


@pytest.mark.slow
def test_the_page_stands_alone_and_is_small(finished):
  report = finished / 'report.html'
  assert_stands_alone(report)
  assert report.stat().st_size < 3_000_000


def test_the_headline_has_the_numbers_of_the_summary(finished):
  summary = json.loads((finished / 'summary.json').read_text())
  base, final = summary['base'], summary['final']
  text = text_of(finished / 'report.html')
  assert base['success'] == pytest.approx(0.40667, abs=1e-5)
  gain = 100 * (final['success'] - base['success'])
  after = f'{100 * final["success"]:.1f}'
  assert f'rose from 40.7 % to {after} % ( +{gain:.1f} ± 2.2 pp )' in text
  row = f'40.7 ± 1.6 % {after} ± 1.6 % +{gain:.1f} ± 2.2 pp'
  assert row in text
  share = 100 * final['diversity'] / base['diversity']
  assert f'with {share:.1f} % of the diversity of the base' in text
  assert f'0.0000 {final["divergence"]:.4f} +{final["divergence"]:.4f}' in text
  assert 'predicted ceiling 71.0 %' in text
  assert '1,024 samples each' in text


def test_the_headline_warns_of_over_optimization(finished):
  run = read_run(finished)
  assert headline.warnings(run) == []
  settings = run.settings | {'reward': {'monitor_only': ['gold']}}
  evaluations = [
    {'step': s, 'reward': r, 'gold/reward': g, 'gold/reward_se': 0.01}
    for s, r, g in ((0, 0.1, 0.30), (20, 0.2, 0.45), (40, 0.3, 0.36))
  ]
  run = dataclasses.replace(
    run, config={'config': settings}, evaluations=evaluations
  )
  (line,) = headline.warnings(run)
  assert line.startswith('Over-optimization: gold, which is monitored')
  assert 'fell from 0.450 at step 20 to 0.360 (−0.090 ± 0.014)' in line
  assert 'the trained reward rose from 0.200 to 0.300' in line
  assert page.note(line) in headline.headline(run)


def test_the_page_has_the_facts_of_the_run(finished):
  text = text_of(finished / 'report.html')
  for fact in (
    'Training time 3 min 30 s',
    'Throughput 63.0 samples/s',
    'β mean 1.000, 0.100 to 1.900',
    'versions.jax 0.10.2',
    'commit 3f9a1c2',
    'method.adrpo.beta0 1.0',
    'optimizer.betas [0.9, 0.99]',
  ):
    assert fact in text


def test_failures_are_shown_at_their_rate(finished):
  """The page shows the verdicts of the first samples, pass or fail."""
  text = text_of(finished / 'report.html')
  chosen = list(range(8))  # prompts come category by category in the generator
  shown = sum(
    int(np.load(finished / 'samples' / name)['success'][chosen, :4].sum())
    for name in ('base.npz', 'final.npz')
  )
  assert text.count('✓') == shown
  assert text.count('✗') == 2 * 8 * 4 - shown > 5
  base = np.load(finished / 'samples' / 'base.npz')
  assert str(base['verdicts'][3, 2]) in text
  tally = int(base['success'][0].sum())
  assert f'single · succeeds: base {tally} of 8' in text


def test_all_sections_are_drawn(finished):
  names = {path.stem for path in (finished / 'figures').glob('*.png')}
  assert names == {
    'reward', 'success', 'divergence', 'diversity', 'diversity_pixel',
    'reward_std', 'policy_loss', 'loss', 'grad_norm', 'update_norm',
    'advantage_over_beta0_max', 'zero_variance', 'samples',
    'reward_divergence', 'reward_diversity', 'beta', 'divergence_by_sigma',
    'categories', 'seconds',
  }  # fmt: skip
  assert 'class="note"' not in (finished / 'report.html').read_text()


def test_an_unfinished_run_says_so(tmp_path):
  workdir = synthetic_runs.write_run(tmp_path / 'run', finished=False, steps=20)
  run = read_run(workdir)
  assert ' by step 10 (*+' in headline.verdict(run)
  text = seen(headline.headline(run))
  assert 'has not finished. The numbers are from step 10.' in text
  assert 'Base Step 10 Difference' in text
  assert 'predicted ceiling' not in text


def test_a_run_that_only_began_says_what_is_missing(tmp_path):
  metrics = [{'step': 1, 'reward': 0.5, 'divergence_by_sigma': [0.1] * 4}]
  synthetic_runs.write_jsonl(tmp_path / 'metrics.jsonl', metrics)
  report = write_report(tmp_path)
  assert_stands_alone(report)
  text = text_of(report)
  for line in (
    'evaluations.jsonl does not exist yet.',
    'Base and tuned model have not both been evaluated yet',
    'No evaluation yet.',
    'There are no samples of base and tuned for the same prompts yet.',
    'Not logged in this run: success, divergence, diversity, pixel diversity,',
    'These figures need two evaluations or two steps.',
    'There is no success by category yet.',
    'This run logged no seconds of its steps.',
    'The settings are unknown: there is no config.json.',
  ):
    assert line in text


def test_an_empty_log_is_still_a_page(tmp_path):
  (tmp_path / 'config.json').write_text('{"config": {"steps": 3}}')
  text = text_of(write_report(tmp_path))
  assert 'Nothing is logged yet.' in text
  assert 'steps 3' in text


def test_a_loss_is_not_praised(finished):
  """A fall is called a fall, and a change within the error none."""
  run = read_run(finished)
  before = run.base['success']

  def verdict(after):
    final = run.final | {'success': after}
    summary = run.summary | {'final': final}
    return headline.verdict(dataclasses.replace(run, summary=summary))

  assert 'fell from 40.7 % to *20.7 %* (*−20.0 ±' in verdict(before - 0.2)
  same = 'shows no clear change: 40.7 % before, *41.7 %* after (*+1.0 ± 2.2'
  assert same in verdict(before + 0.01)


def test_text_of_users_is_escaped():
  samples = blank_samples(4)
  samples.prompts[0] = '<script>"1"</script> & $x_1$'
  samples.verdicts[0, 0] = '<b>"'
  columns = [Column(name, samples) for name in ('Base', 'A<b')]
  content = image_cards.pairs(*columns)
  assert '<script' not in content
  assert '&lt;script&gt;&quot;1&quot;&lt;/script&gt; &amp; $x_1$' in content
  assert 'alt="fails: &lt;b&gt;&quot;"' in content
  assert 'A&lt;b</h4>' in content


def test_prompts_are_chosen_by_turns_of_category():
  categories = ['a', 'a', 'a', 'b', 'c', 'b']
  assert chosen_prompts(categories, 5) == [0, 3, 4, 1, 5]
  assert chosen_prompts(categories, 99) == [0, 3, 4, 1, 5, 2]


def test_small_images_are_enlarged_by_an_integer_factor():
  image = np.random.default_rng(0).integers(0, 255, (32, 24, 3), np.uint8)
  got = np.asarray(Image.open(io.BytesIO(page.thumbnail(image))))
  assert got.shape == (160, 120, 3)
  np.testing.assert_array_equal(got[2::5, 2::5], image)
  np.testing.assert_array_equal(got[::5, ::5], got[4::5, 4::5])


def test_large_images_are_reduced():
  image = np.zeros((1024, 512, 3), np.uint8)
  got = Image.open(io.BytesIO(page.thumbnail(image)))
  assert (got.format, got.size) == ('WEBP', (128, 256))
  medium = page.thumbnail(np.zeros((256, 128, 3), np.uint8))
  assert Image.open(io.BytesIO(medium)).size == (80, 160)


def test_all_images_together_fit_a_budget():
  random = np.random.default_rng(0)
  noise = [random.integers(0, 255, (256, 256, 3), np.uint8) for _ in range(8)]
  assert sum(map(len, page.thumbnails(noise))) > 100_000
  pngs = page.thumbnails(noise, budget=100_000)
  assert sum(map(len, pngs)) <= 100_000
  sizes = {Image.open(io.BytesIO(png)).size for png in pngs}
  assert len(sizes) == 1


@pytest.mark.slow
def test_a_report_of_large_images_stays_small(tmp_path):
  synthetic_runs.write_run(tmp_path / 'run')
  for name in ('base', 'final'):
    synthetic_runs.samples(
      tmp_path / 'run' / 'samples' / f'{name}.npz',
      [0.5] * len(synthetic_runs.CATEGORIES),
      per_category=1,
      group=4,
      side=1024,
    )
  path = write_report(tmp_path / 'run')
  assert_stands_alone(path)
  assert 'data:image/webp' in path.read_text()
  assert len(path.read_bytes()) < 5_000_000


def blank_samples(group):
  names = np.array(['x', 'y', 'z']).astype('<U40')
  return Samples(
    images=np.zeros((3, group, 8, 8, 3), np.uint8),
    prompts=names,
    categories=names,
    rewards=np.zeros((3, group)),
    success=np.zeros((3, group), bool),
    verdicts=np.full((3, group), '0/1 facts'),
  )


def test_only_samples_of_the_same_prompts_are_paired():
  one, fewer, others = (
    Column('a', blank_samples(group)) for group in (8, 4, 8)
  )
  others.samples.prompts[2] = 'w'
  assert same_prompts([one, one])
  assert not same_prompts([one, fewer])
  assert not same_prompts([one, others])


@pytest.mark.parametrize(
  ('seconds', 'text'),
  [(47.2, '47 s'), (210.4, '3 min 30 s'), (3600, '1 h 00 min'),
   (7512.0, '2 h 05 min'), (59.7, '1 min 00 s')],
)  # fmt: skip
def test_durations(seconds, text):
  assert duration(seconds) == text
