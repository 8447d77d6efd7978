"""The pages are built without a warning, and hold what they promise."""

import os
import re
import subprocess
import sys

from pages import ROOT
import pytest

from adrpo_jax.method import language_methods, methods
from adrpo_jax.rewards.image_table import REWARDS
from adrpo_jax.rewards.text_table import TEXT_REWARDS

REASON = "needs the extra docs: pip install -e '.[docs]'"
for module in ('sphinx', 'myst_parser', 'sphinx_book_theme'):
  pytest.importorskip(module, reason=REASON)
sys.path.insert(0, str(ROOT / 'docs' / '_ext'))
import config_tables  # noqa: E402


@pytest.fixture(scope='module')
def html(tmp_path_factory):
  """The folder of the built pages."""
  folder = tmp_path_factory.mktemp('html')
  built = subprocess.run(
    [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q']
    + ['-b', 'html', '-d', str(folder / 'doctrees')]
    + [str(ROOT / 'docs'), str(folder)],
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert built.returncode == 0, built.stderr
  assert 'WARNING' not in built.stderr
  return folder


def headings(page):
  """The texts of a page's headings, without the mark of their link."""
  found = re.findall(r'<h[1-4]>(.*?)<a class="headerlink"', page.read_text())
  return [re.sub(r'<.*?>', '', heading) for heading in found]


def test_every_method_has_a_heading_and_every_parameter_a_row(html):
  page = html / 'methods.html'
  names = [*methods.METHODS, *language_methods.LANGUAGE_METHODS]
  assert sorted(set(headings(page)) & set(names)) == sorted(set(names))
  text = page.read_text()
  for name in methods.METHODS:
    for parameter in methods.parameters(name):
      assert f'>{parameter}<' in text, (name, parameter)


def test_every_reward_has_a_heading(html):
  assert {*REWARDS, *TEXT_REWARDS} <= set(headings(html / 'rewards.html'))


@pytest.mark.parametrize('name', config_tables.FILES)
def test_every_key_stands_on_the_page_with_its_meaning(html, name):
  text = (html / 'configuration.html').read_text()
  groups = config_tables.keys(ROOT / 'configs' / f'{name}.py').values()
  keys = [key for group in groups for key in group]
  assert keys
  for key in keys:
    assert f'>{key.name}<' in text, key
  assert [key.name for key in keys if not key.meaning] == []


@pytest.mark.parametrize('name', config_tables.FILES)
def test_every_key_has_values_but_the_changes_of_a_comparison(name):
  path = ROOT / 'configs' / f'{name}.py'
  listed = config_tables.keys(path).items()
  without = [
    key.name
    for group, keys in listed
    for key in keys
    if not config_tables.values(key, path, group)
  ]
  assert without == ([] if name in ('audio', 'pretrain') else ['compare'])


def test_the_public_names_stand_in_the_api(html):
  import adrpo_jax

  text = (html / 'api.html').read_text()
  functions = [
    name
    for name in adrpo_jax.__all__
    if callable(member := getattr(adrpo_jax, name))
    and member.__module__.startswith('adrpo_jax')
  ]
  assert len(functions) > 30
  for name in functions:
    assert f'.{name}"' in text, name
