"""The README: short, true of the repository, and its example learns."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.method import language_methods, methods
from adrpo_jax.rewards.image_table import REWARDS
from adrpo_jax.rewards.text_table import TEXT_REWARDS
from adrpo_jax.worlds import AUDIO_WORLDS, TEXT_WORLDS, WORLDS

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text()


def section(title):
  """The text under a heading of the second level."""
  return README.split(f'\n## {title}\n')[1].split('\n## ')[0]


def example():
  """The one Python block."""
  (source,) = re.findall(r'```python\n(.*?)```', README, re.DOTALL)
  return source


def test_it_is_short():
  assert len(README.splitlines()) <= 130


def test_two_commands_are_two_scripts():
  (block,) = re.findall(r'```sh\n(.*?)```', section('Two commands'), re.DOTALL)
  scripts = [line.split()[0] for line in block.splitlines()]
  assert scripts == ['launch/quickstart.sh', 'tests/run']
  assert all((ROOT / script).exists() for script in scripts)


def test_every_link_and_picture_exists():
  targets = re.findall(r'\]\(([^)]+)\)', README)
  local = [target for target in targets if '://' not in target]
  assert len(local) > 15
  assert [target for target in local if not (ROOT / target).exists()] == []


def test_every_page_of_the_docs_is_linked():
  pages = {page.name for page in (ROOT / 'docs').glob('*.md')} - {'index.md'}
  assert pages == set(re.findall(r'\(docs/(\w+\.md)\)', README))


def test_every_path_in_code_exists():
  paths = re.findall(r'`((?:configs|docs|benchmarks|launch)/[\w./]+)', README)
  assert paths
  assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_table_names_every_method_reward_and_world():
  rows = {
    line.split('|')[1].strip(): line.split('|')[2:5]
    for line in section('What there is').splitlines()
    if line.startswith('|')
  }
  listed = {
    name: [set(re.findall(r'`(\w+)`', cell)) for cell in cells]
    for name, cells in rows.items()
  }
  assert listed['models'] == [
    set(WORLDS),
    set(TEXT_WORLDS),
    set(AUDIO_WORLDS),
  ]
  assert listed['[methods](docs/methods.md)'][:2] == [
    set(methods.METHODS),
    set(language_methods.LANGUAGE_METHODS),
  ]
  assert listed['[rewards](docs/rewards.md)'][:2] == [
    set(REWARDS),
    set(TEXT_REWARDS),
  ]


def test_the_tree_has_the_folders_of_the_package():
  tree = section('The house').split('```')[1]
  names = set(re.findall(r'(\w+)/ ', tree))
  inside = {p.parent.name for p in (ROOT / 'adrpo_jax').glob('*/__init__.py')}
  beside = {'adrpo_jax', 'configs', 'launch', 'docs', 'tests', 'benchmarks'}
  assert names == inside | beside
  assert all((ROOT / name).is_dir() for name in beside)


def test_the_results_are_those_of_the_docs():
  docs = (ROOT / 'docs' / 'results.md').read_text()
  figures = re.findall(r'\d+\.\d+(?: ± \d+\.\d+)?', section('Results'))
  assert len(figures) > 15
  assert [figure for figure in figures if figure not in docs] == []


def test_the_example_has_15_lines_and_raises_its_reward():
  source = example()
  code = [
    line
    for line in source.splitlines()
    if line.strip() and not re.match(r'import|from', line)
  ]
  assert len(code) <= 15
  scope: dict = {}
  with jax.numpy_rank_promotion('allow'):
    exec(compile(source, 'README.md', 'exec'), scope)
    start = jax.random.normal(jax.random.key(10**6), (4096, 2))
    before, after = (
      jax.nn.sigmoid(start - scope['velocity'](p, start))[:, 0].mean()
      for p in (scope['reference'], scope['params'])
    )
  assert jnp.isfinite(scope['params']).all()
  np.testing.assert_allclose(before, 0.5, atol=0.01)
  assert after > before + 0.05
