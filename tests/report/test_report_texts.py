"""The report of a language model: its answers, their colors, its charts."""

import dataclasses
import re

from html_pages import assert_stands_alone, seen, text_of
import numpy as np
from PIL import Image
import pytest
import synthetic_runs
import synthetic_texts

from adrpo_jax.compare.report import write_comparison
from adrpo_jax.compare.results import read_comparison
from adrpo_jax.report import charts as report_charts
from adrpo_jax.report import headline, text_cards
from adrpo_jax.report.cards import Column, card, same_prompts
from adrpo_jax.report.run_record import read_run
from adrpo_jax.report.sample_kinds import IMAGES, TEXTS, kind_of
from adrpo_jax.samples import text_file

TOKEN = re.compile(r'<i(?: class="([^"]*)")? title="([^"]*)">([^<]*)</i>')


def two_answers(**changed):
  """One prompt with a right and a wrong answer of three tokens each."""
  fields = {
    'answers': np.array([['a<b>', '1\n2']]),
    'prompts': np.array(['<p> & "q"']),
    'categories': np.array(['order']),
    'rewards': np.array([[0.5, 0.0]]),
    'success': np.array([[True, False]]),
    'verdicts': np.array([['<right>', '']]),
    'pieces': np.array([[['a', '<b>', ''], ['1', '\n', '2']]]),
    'divergences': np.array([[[1.0, -0.24, 9.0], [0.1, -0.5, np.nan]]]),
  }
  return text_file.TextSamples(**fields | changed)


def still(samples):
  """Returns the answers of the reference model, with rounding errors."""
  rounding = np.full_like(samples.divergences, -2e-6)
  return dataclasses.replace(samples, divergences=rounding)


def test_the_page_is_whole_and_stands_alone(spoken):
  page = spoken / 'report.html'
  assert_stands_alone(page)
  assert 'class="note"' not in page.read_text()
  text = text_of(page)
  assert 'Answers of base and tuned' in text
  assert (
    'Divergence (KL) divergence from the reference model in nats per token'
  ) in text
  assert 'KL to the reference' in text
  assert not re.search('W2|image|noise level', text)


def test_all_charts_of_a_language_model_are_drawn(spoken):
  names = {path.stem for path in (spoken / 'figures').glob('*.png')}
  assert names == {
    'reward', 'success', 'divergence', 'entropy', 'diversity', 'length',
    'truncated', 'beta_mean', 'past_flip', 'reward_std', 'policy_loss', 'loss',
    'grad_norm', 'update_norm', 'zero_variance', 'reward_divergence',
    'reward_diversity', 'reward_entropy', 'beta', 'divergence_by_sign',
    'categories', 'seconds',
  }  # fmt: skip
  image = Image.open(spoken / 'figures' / 'reward_entropy.png').convert('RGB')
  assert len(image.getcolors(1 << 20)) > 20


def test_answers_of_both_are_on_the_page_at_their_rate(spoken):
  text = text_of(spoken / 'report.html')
  base, tuned = (
    text_file.read(spoken / 'samples' / f'{name}.npz')
    for name in ('base', 'final')
  )
  passed = int(base.success.sum() + tuned.success.sum())
  assert text.count('✓') == passed
  assert text.count('✗') == 2 * 6 * 4 - passed > 5
  shown = ' '.join(str(base.answers[0, 0]).split())
  assert f'“{base.prompts[0]}”' in text
  assert shown in text
  count = int(base.success[0].sum())
  assert f'order · succeeds: base {count} of 4' in text


def test_tokens_carry_their_number_and_the_step_of_its_color():
  samples = two_answers()
  columns = Column('Base', still(samples)), Column('Tuned', samples)
  assert text_cards.scale_of(columns, [(0, 0), (0, 1)]) == 1.0
  content = text_cards.pairs(*columns)
  assert TOKEN.findall(content) == [
    ('more4', '+1.00', 'a'),
    ('less1', '−0.24', '&lt;b&gt;'),
    ('', '+0.10', '1'),
    ('less2 line', '−0.50', '\n'),
    ('', '+0.00', '2'),
  ]
  base = content.split('<h4 class="of">')[0]
  assert '<p class="said">a&lt;b&gt;</p>' in base
  assert 'title=' not in base
  assert '−1' in base  # The key stands above the cards, and says its range.
  assert '+1 nats' in base


def test_text_of_answers_is_escaped():
  samples = two_answers()
  columns = Column('Base', still(samples)), Column('A<b', samples)
  for content in (
    text_cards.pairs(*columns),
    text_cards.by_method(columns),
  ):
    assert '“&lt;p&gt; &amp; &quot;q&quot;”' in content
    assert 'reward 0.500 · 2 tokens · &lt;right&gt;' in content
    assert 'A&lt;b' in content
    assert not re.search(r'<b>(?!✓|✗)|<p>(?!order)|<right>', content)


def test_the_strongest_shade_is_a_round_number_that_few_tokens_pass():
  changes = np.full((1, 2, 100), 0.3)
  changes[0, 0, :4] = 8.0
  pieces = np.full((1, 2, 100), 'x')
  column = Column('Tuned', two_answers(pieces=pieces, divergences=changes))
  scale = text_cards.scale_of([column], [(0, 0), (0, 1)])
  assert scale == pytest.approx(0.3)
  assert text_cards.shade(8.0, 0.3) == text_cards.SHADES
  assert text_cards.shade(-8.0, 0.3) == -text_cards.SHADES
  assert text_cards.shade(0.03, 0.3) == 0
  unmoved = Column('Base', still(column.samples))
  assert text_cards.scale_of([unmoved], [(0, 0)]) == text_cards.SMALLEST


@pytest.mark.parametrize('letter', ['x', '\n'])
def test_long_answers_are_folded_and_lose_nothing(letter):
  answer = letter * 2000
  samples = two_answers(answers=np.array([[answer, 'short']]))
  content = text_cards.pairs(*(Column(n, still(samples)) for n in 'ab'))
  head, rest = re.search(
    r'<p class="said">([^<]*)</p><details class="rest"><summary>[\d,]+ more '
    r'characters</summary><p class="said">([^<]*)</p>',
    content,
  ).groups()
  assert head + rest == answer
  assert 0 < len(head) <= text_cards.FOLDED
  assert content.count('<details') == 2


def test_a_long_prompt_is_folded():
  content = card('word ' * 200, 'story')
  assert content.count('word') == 200 + 48
  assert 'The whole prompt' in content
  assert '<details' not in card('word ' * 20, 'story')


def test_an_empty_answer_is_shown_as_empty():
  nothing = two_answers(
    answers=np.array([['', 'b']]), pieces=np.array([[[''] * 3, ['b', '', '']]])
  )
  content = seen(text_cards.pairs(*(Column(n, nothing) for n in 'ab')))
  assert content.count('empty answer') == 2
  assert '✓ reward 0.500 · <right> empty answer' in content


def test_answers_and_images_are_no_pair(tmp_path):
  chances = [0.5] * len(synthetic_runs.CATEGORIES)
  path = tmp_path / 'images.npz'
  synthetic_runs.samples(path, chances, per_category=1, side=8)
  from adrpo_jax.report.run_record import read_samples

  images = Column('a', read_samples(path))
  texts = Column('b', two_answers())
  assert not same_prompts([images, texts])
  assert kind_of([texts]) is TEXTS
  assert kind_of([images]) is IMAGES


def test_a_run_says_what_its_figures_are_of(spoken, tmp_path):
  """A family that no list of the report knows is reported as it says."""
  run = read_run(spoken)
  own = run.settings | {'model': {'family': 'mine'}}
  config = run.config | {'config': own}
  renamed = dataclasses.replace(run, config=config)
  assert renamed.modality == 'language'
  for damaged in ('lanGuage', ['language'], {}, None, False):
    config['modality'] = damaged
    assert renamed.modality == 'language'
  config.pop('modality')  # As a run of an older version leaves it.
  assert renamed.modality == 'language'
  assert dataclasses.replace(renamed, base_samples=None).modality == 'language'


def test_trajectories_need_two_points_of_either_kind(spoken):
  run = read_run(spoken)
  bare = dataclasses.replace(run, metrics=[], evaluations=[])

  def charts_of(**changed):
    charts = report_charts.trajectory_charts(
      dataclasses.replace(bare, **changed)
    )
    return [(chart.name, chart.title) for chart in charts]

  assert charts_of() == []
  one_each = {'metrics': run.metrics[:1], 'evaluations': run.evaluations[:1]}
  assert charts_of(**one_each) == []
  both = [
    ('reward_divergence', 'Reward and KL'),
    ('reward_entropy', 'Reward and entropy'),
  ]
  assert charts_of(metrics=run.metrics[:2]) == both
  diversity = ('reward_diversity', 'Reward and diversity')
  assert charts_of(evaluations=run.evaluations[:2]) == [*both, diversity]


def test_rewards_outside_of_0_to_1_have_no_bars(spoken):
  run = read_run(spoken)
  assert headline.headline(run).count('class="bullet"') == 3
  final = run.final | {'reward': -2.5}
  summary = run.summary | {'final': final}
  changed = dataclasses.replace(run, summary=summary)
  assert headline.headline(changed).count('class="bullet"') == 2


def test_methods_are_compared_on_answers(tmp_path):
  for method in ('adrpo', 'grpo'):
    synthetic_texts.write_run(
      tmp_path / method / 'seed_0', method=method, steps=10
    )
  assert set(read_comparison(tmp_path).measures) == set(
    read_run(tmp_path / 'grpo' / 'seed_0').measures
  )
  page = write_comparison(tmp_path)
  assert_stands_alone(page)
  text = text_of(page)
  assert text.count('✓') + text.count('✗') == 3 * 6
  assert not re.search('W2|image', text)
  assert not (tmp_path / 'samples.png').exists()
  table = (tmp_path / 'comparison.md').read_text()
  assert '| KL |' in table
  assert '| GRPO | 1 |' in table
