"""Names in the pages are names of the package: classes, files, config keys."""

import re
import runpy

from flax.traverse_util import flatten_dict
from pages import PAGES, ROOT
import pytest

FOLDERS = 'adrpo_jax|tests|benchmarks|configs|launch|docs'
SECTIONS = 'model|prompts|sampler|training|eval|checkpoint|mesh|compute|log'


def in_code(page, pattern):
  """What stands between backticks and matches the whole pattern."""
  return re.findall(rf'`({pattern})`', page.read_text())


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_files_exist(page):
  paths = in_code(page, rf'(?:{FOLDERS})/[\w./]*\w/?')
  built = ('docs/_build/html',)  # by docs/build
  missing = [p for p in paths if not (ROOT / p).exists() and p not in built]
  assert missing == []


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_config_keys_exist(page):
  known = set()
  for name in ('t2i', 'llm', 'audio', 'pretrain'):
    scope = runpy.run_path(str(ROOT / 'configs' / f'{name}.py'))
    known |= set(flatten_dict(scope['get_config']().to_dict(), sep='.'))
  keys = in_code(page, rf'(?:{SECTIONS})\.[a-z][a-z0-9_.]+')
  assert [key for key in keys if key not in known] == []


def test_nouns_of_the_concepts_are_defined():
  concepts = ROOT / 'docs' / 'concepts.md'
  nouns = re.findall(r'^\| `(\w+)` \|', concepts.read_text(), re.MULTILINE)
  nouns = [noun for noun in nouns if noun[0].isupper()]
  assert len(nouns) > 10
  source = '\n'.join(
    path.read_text() for path in (ROOT / 'adrpo_jax').rglob('*.py')
  )
  defined = set(re.findall(r'^(?:class )?(\w+)(?:\(|:| =)', source, re.M))
  assert [noun for noun in nouns if noun not in defined] == []
