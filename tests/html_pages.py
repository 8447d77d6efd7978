"""What a reader sees of a page, and that it needs nothing else."""

import html.parser
import re

VOID = {'meta', 'img', 'source', 'br', 'link'}


class Balance(html.parser.HTMLParser):
  """Follows open tags, and collects where a page looks for things."""

  def __init__(self):
    super().__init__()
    self.open, self.sources = [], []

  def handle_starttag(self, tag, attrs):
    self.sources += [v for k, v in attrs if k in ('src', 'srcset', 'href')]
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag


def text_of(path):
  """What a reader of a page sees."""
  return seen(path.read_text(encoding='utf-8').split('</style>')[1])


def seen(content):
  """Text without tags and with plain spaces."""
  text = html.unescape(re.sub(r'<[^>]+>', ' ', content)).replace('\xa0', ' ')
  return re.sub(r'\s+', ' ', text)


def assert_stands_alone(path):
  balance = Balance()
  content = path.read_text(encoding='utf-8')
  balance.feed(content)
  assert balance.open == []
  embedded = re.compile(r'data:(image/(png|webp)|audio/wav);base64,')
  assert all(map(embedded.match, balance.sources))
  assert 'http' not in re.sub(r'base64,[A-Za-z0-9+/=]+', '', content)
  assert '@import' not in content
  assert 'url(' not in content
