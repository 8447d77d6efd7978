"""Tokens and passwords: who must have one, and where none may be seen."""

import base64
import contextlib
import http.client
import http.server
import json
import logging as std_logging
import socket
import threading
import traceback

import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.rewards import server as command
from adrpo_jax.rewards.host.host_reward import HostReward
from adrpo_jax.rewards.remote import tokens, wire
from adrpo_jax.rewards.remote.address import address
from adrpo_jax.rewards.remote.client import remote
from adrpo_jax.rewards.remote.config_secrets import check_no_secrets
from adrpo_jax.rewards.remote.http_server import RewardServer
from adrpo_jax.rewards.text.protocol import TextPrompt

TOKEN = 'tok-5Ecret.Zq81'
PROMPTS = (TextPrompt('?'),)
EVERYWHERE = ['0.0.0.0', '', '::', socket.gethostname() + '.']


@contextlib.contextmanager
def running(server):
  with server:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
      yield server
    finally:
      server.shutdown()
      thread.join()


def served(**options):
  return running(
    RewardServer(None, 'far', of_texts=lambda p, a: [1.0] * len(a), **options)
  )


def status(server, method, path, authorization):
  connection = http.client.HTTPConnection('127.0.0.1', server.server_port)
  headers = {'Authorization': authorization} if authorization else {}
  body = wire.write_text_request(PROMPTS, ('a',)) if method == 'POST' else None
  connection.request(method, path, body, headers)
  with connection.getresponse() as response:
    response.read()
    return response.status


@pytest.mark.parametrize(
  ('method', 'path'), [('GET', '/health'), ('POST', '/score'), ('GET', '/x')]
)
def test_every_request_needs_the_token(method, path):
  with served(token=TOKEN) as server:
    for wrong in (
      *(None, '', 'Bearer', 'Bearer ', TOKEN, f'Basic {TOKEN}'),
      *(f'Bearer {TOKEN}x', f'Bearer {TOKEN[:-1]}', f'bearer {TOKEN}'),
      'Bearer \xff',
    ):
      assert status(server, method, path, wrong) == 401, wrong
    right = 404 if path == '/x' else 200
    assert status(server, method, path, f'Bearer {TOKEN}') == right


def test_a_large_body_without_the_token_is_told_why():
  """It is not kept, and its sender still reads the answer."""
  with served(token=TOKEN) as server:
    connection = http.client.HTTPConnection('127.0.0.1', server.server_port)
    connection.request('POST', '/score', bytes(2**24))
    with connection.getresponse() as response:
      assert response.status == 401
      assert 'Bearer' in response.headers['WWW-Authenticate']


def test_client_and_server_with_a_token(monkeypatch):
  monkeypatch.setenv('FAR', TOKEN)
  with served(token=TOKEN) as server:
    function = remote(server.url, token_from='FAR')
    np.testing.assert_array_equal(function(PROMPTS, ('a',)), [1])
    with pytest.raises(InputError, match=r'401.*token_from'):
      remote(server.url)
    monkeypatch.setenv('FAR', 'another')
    with pytest.raises(InputError, match=r'401.*token_from') as caught:
      remote(server.url, token_from='FAR')
  assert 'another' not in str(caught.value).replace('in another', '')


def test_the_comparison_takes_constant_time(monkeypatch):
  compared = []
  monkeypatch.setattr(
    tokens.hmac, 'compare_digest', lambda a, b: compared.append((a, b)) or True
  )
  assert tokens.allows(TOKEN, 'Bearer x')
  assert compared == [(b'Bearer x', f'Bearer {TOKEN}'.encode())]


@pytest.mark.parametrize('host', EVERYWHERE[:3])
def test_others_reach_a_server_only_with_a_token(host):
  with pytest.raises(InputError, match='--token-from'):
    RewardServer(None, 'far', host=host)
  with contextlib.suppress(OSError):  # A machine without IPv6.
    RewardServer(None, 'far', host=host, token=TOKEN).server_close()


@pytest.mark.parametrize('host', ['127.0.0.1', '127.1.2.3', 'localhost'])
def test_this_machine_alone_needs_none(host):
  RewardServer(None, 'far', host=host).server_close()


def test_the_command_line_asks_for_a_token(monkeypatch, capsys):
  flags = ['server', '--reward=exact_match', '--port=0']
  assert command.main([*flags, '--host=0.0.0.0']) == 2
  assert '--token-from=NAME' in capsys.readouterr().err
  assert command.main([*flags, f'--token-from={TOKEN}']) == 2
  assert TOKEN not in capsys.readouterr().err
  monkeypatch.setenv('FAR', TOKEN)
  parsed = command._parser().parse_args(
    [*flags[1:], '--host=0.0.0.0', '--token-from=FAR']
  )
  with command._server(parsed) as server:
    assert server.token == TOKEN


ECHOES = {
  'words': TOKEN,
  'a part': TOKEN[:9],
  'cut': 'x' * 190 + TOKEN,
  'json': ''.join(f'\\u{ord(c):04x}' for c in TOKEN),
  'base64': base64.b64encode(TOKEN.encode()).decode(),
  'reversed': TOKEN[::-1],
}


class Echo(http.server.BaseHTTPRequestHandler):
  """Answers as `server.say` has it, a healthy /health first if `healthy`."""

  def do_GET(self):
    if self.server.healthy:
      self.wfile.write(b'HTTP/1.0 200 OK\r\n\r\n' + wire.write_health('x'))
    else:
      self.wfile.write(self.server.say)

  def do_POST(self):
    self.rfile.read(int(self.headers['Content-Length']))
    self.wfile.write(self.server.say)

  def log_message(self, *_):
    pass


def answers(words):
  """What a server may send that has these words in it."""
  error = b'{"version": 2, "error": "%s"}' % words.encode()
  rewards = b'{"version": 2, "rewards": ["%s"]}' % words.encode()
  for code in (b'302', b'400', b'401', b'403', b'500', b'503'):
    yield b'HTTP/1.0 ' + code + b' No\r\n\r\n' + error
    yield b'HTTP/1.0 ' + code + b' No\r\n\r\n' + words.encode()
  yield b'HTTP/1.0 500 ' + words.encode() + b'\r\n\r\n'
  yield b'HTTP/1.0 200 OK\r\n\r\n' + rewards
  yield b'HTTP/1.0 200 OK\r\n\r\n' + words.encode()
  yield b'HTTP/1.0 200 OK\r\n\r\n{"version": "%s"}' % words.encode()
  yield words.encode() + b'\r\n\r\n'  # no status line
  yield b'HTTP/1.0 ' + words.encode() + b'\r\n\r\n'
  yield b'HTTP/1.0 200 OK\r\nContent-Length: 9999\r\n\r\n' + words.encode()
  yield b'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + (
    words.encode() + b'\r\n'
  )


@pytest.mark.parametrize('echo', ECHOES)
@pytest.mark.parametrize('healthy', [True, False])
def test_no_echo_is_shown(echo, healthy, monkeypatch, caplog, capfd):
  monkeypatch.setenv('FAR', TOKEN)
  words = ECHOES[echo]
  with running(
    http.server.ThreadingHTTPServer(('127.0.0.1', 0), Echo)
  ) as server:
    url = f'http://127.0.0.1:{server.server_port}'
    said = []
    for say in answers(words):
      server.say, server.healthy = say, healthy
      with caplog.at_level(std_logging.DEBUG):
        said.append(failure(url))
  said += [caplog.text, *capfd.readouterr()]
  shown = '\n'.join(said)
  for part in (TOKEN[:6], TOKEN[-6:], words[:6], words[-6:]):
    assert part == 'xxxxxx' or part not in shown, part
  assert 'not shown, since a token was sent' in shown


def failure(url):
  """All that a failed reward says: errors, tracebacks and the last failure."""
  try:
    function = remote(
      url, token_from='FAR', timeout=30.0, retries=1, backoff=0.0
    )
    judged = function(PROMPTS, ('a',))
  except InputError as error:
    return ''.join(traceback.format_exception(error))
  except Exception as error:
    text = ''.join(traceback.format_exception(error))
    reward = HostReward(function, PROMPTS, name='far', invalid_limit=1.0)
    reward._call(PROMPTS, ('a',))
    return text + reward.last_failure
  raise AssertionError(judged)


def test_without_a_token_the_words_are_shown_on_one_line():
  with running(
    http.server.ThreadingHTTPServer(('127.0.0.1', 0), Echo)
  ) as server:
    server.healthy = False
    server.say = b'HTTP/1.0 500 x\r\n\r\nout of \x1b[2J\nmemory'
    with pytest.raises(InputError, match=r'500 .*: out of  \[2J memory'):
      remote(f'http://127.0.0.1:{server.server_port}')


URLS = [
  'http://me:{}@host',
  'http://me:{}%40host',
  'http://{}@host:80/x',
  'http://host:{}',
  'http://host/?token={}',
  'http://host#{}',
  'htp://me:{}@host',
  'me:{}@host',
  'http://me:{}@ho[st',
  'http://me:p/{}@host',
  ' HTTP://me:{}@host',
  '//me:{}@host',
  'http:/me:{}@host',
  'http://',
]


@pytest.mark.parametrize('url', URLS)
def test_no_bad_url_is_shown(url):
  with pytest.raises(InputError) as caught:
    address(url.format(TOKEN))
  assert TOKEN not in ''.join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    *(('reward.remote.url', url) for url in URLS if '@' in url or '?' in url),
    ('reward.taste.url', 'host?key={}'),
    ('model.path', 'https://me:{}@host/model'),
    ('prompts.source', 's3://me:{}@bucket/file.txt'),
    ('anything', 'https://host/file?sig={}'),
    ('listed', ('a', ('https://me:{}@host',))),
    ('reward.remote.token_from', '{}'),
    ('reward.taste.token_from', 'hf_{}'),
  ],
)
def test_no_config_holds_a_secret(key, value):
  filled = json.loads(json.dumps(value).replace('{}', TOKEN))
  with pytest.raises(InputError) as caught:
    check_no_secrets({'steps': 3, key: filled})
  assert key in str(caught.value)
  assert TOKEN not in str(caught.value)


def test_other_texts_are_no_secrets(monkeypatch):
  monkeypatch.setenv('far_token', 'x')
  check_no_secrets(
    {
      'reward.remote.url': 'http://host:80/x',
      'reward.remote.token_from': 'FAR',
      'reward.taste.token_from': 'far_token',
      'reward.ocr.token_from': '',
      'model.path': 'org/name@revision',
      'prompts.source': 'gs://bucket/a@b.txt',
      'prompts.system': 'Write to me@host or look at http://host?x=1 .',
      'steps': 3,
      'nothing': None,
    }
  )
