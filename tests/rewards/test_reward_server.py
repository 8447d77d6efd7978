"""The reward server, from a client's side and from that of a vandal."""

import base64
import http.client
import json
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from adrpo_jax.rewards import jpeg, server
from adrpo_jax.rewards.remote import wire
from adrpo_jax.rewards.remote.client import remote
from adrpo_jax.rewards.remote.exchange import Rejected
from adrpo_jax.rewards.remote.http_server import RewardServer
from adrpo_jax.rewards.text.match import exact_match
from adrpo_jax.rewards.text.protocol import TextPrompt, in_batches


def mean(texts, images):
  if 'broken' in texts:
    raise KeyError('no such word')
  if 'shape' in texts:
    return np.zeros(7)
  return np.where(np.array(texts) == 'null', np.nan, images.mean((1, 2, 3)))


def length(prompts, answers):
  """Judges an answer, as a mapping; null where nothing is known."""
  known = [prompt.reference is not None for prompt in prompts]
  lengths = [len(answer) for answer in answers]
  return {'reward': np.where(known, lengths, np.nan), 'known': known}


@pytest.fixture(scope='module')
def served():
  """Servers of images and of texts."""
  with RewardServer(mean, 'mean', of_texts=length, max_bytes=5000) as it:
    threading.Thread(target=it.serve_forever, args=(0.01,)).start()
    yield it
    it.shutdown()


@pytest.fixture
def images():
  return np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)


def ask(served, method, path, body=None, headers=None):
  """-> status, record"""
  connection = http.client.HTTPConnection(
    '127.0.0.1', served.server_port, timeout=5
  )
  connection.request(method, path, body, headers or {})
  with connection.getresponse() as response:
    return response.status, json.loads(response.read())


@pytest.mark.parametrize('encoding', ['png', 'npy'])
def test_client_and_server_agree(encoding, served, images):
  function = remote(served.url, encoding=encoding)
  np.testing.assert_array_equal(
    function(('a', 'null', 'b'), images),
    mean(('a', 'null', 'b'), images),
  )


def test_what_a_request_holds_chooses_the_function(served):
  prompts = (TextPrompt('?', 'ä'), TextPrompt('?'), TextPrompt('', ''))
  np.testing.assert_array_equal(
    remote(served.url)(prompts, ('ä 1', 'b', '')), [3, np.nan, 0]
  )


def test_a_server_of_one_kind_refuses_the_other(images):
  match = in_batches(exact_match())
  with RewardServer(None, 'match', of_texts=match) as of_texts:
    thread = threading.Thread(
      target=of_texts.serve_forever, args=(0.01,), daemon=True
    )
    thread.start()
    function = remote(of_texts.url)
    np.testing.assert_array_equal(
      function((TextPrompt('?', 'B'),) * 2, ('b.', 'c')), [1, 0]
    )
    with pytest.raises(Rejected, match="'match' does not judge 'samples'"):
      function(('a', 'b', 'c'), images)
    of_texts.shutdown()


def test_health(served):
  status, record = ask(served, 'GET', '/health')
  assert (status, record) == (200, {'version': 2, 'reward': 'mean'})


def request(texts):
  return wire.write_request(
    texts, np.zeros((len(texts), 2, 2, 3), np.uint8), 'png'
  )


@pytest.mark.parametrize(
  ('method', 'path', 'body', 'headers', 'status', 'error'),
  [
    ('GET', '/', None, {}, 404, 'GET /health or POST /score'),
    ('POST', '/health', b'', {}, 404, 'GET /health or POST /score'),
    ('PUT', '/score', b'', {}, 501, 'Unsupported method'),
    ('POST', '/score', b'{', {}, 400, 'expected JSON'),
    ('POST', '/score', b'{}', {}, 400, '"version": 2'),
    ('POST', '/score', b'[' * 4000, {}, 400, 'expected JSON'),
    ('POST', '/score', b'x', {'Content-Length': '-1'}, 411, 'Content-Length'),
    ('POST', '/score', b' ' * 5001, {}, 413, 'at most 5000 bytes, got 5001'),
    ('POST', '/score', request(['broken']), {}, 500, 'no such word'),
    ('POST', '/score', request(['shape']), {}, 500, 'shape (1,), got (7,)'),
  ],
)
def test_errors_are_json(served, method, path, body, headers, status, error):
  got, record = ask(served, method, path, body, headers)
  assert got == status
  assert error in record['error']
  assert ask(served, 'GET', '/health')[0] == 200  # It goes on.


def test_images_that_claim_to_be_large_are_not_unpacked(served):
  header = (
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999, 99999, 3), }"
  )
  content = b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header
  record = json.loads(request(['a']))
  record |= {
    'encoding': 'npy',
    'samples': [base64.b64encode(content).decode()],
  }
  status, answer = ask(served, 'POST', '/score', json.dumps(record))
  assert status == 400
  assert 'an image of 29999400003 bytes' in answer['error']


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--reward=jpeg_compress'], "Did you mean 'jpeg_compress"),
    (['--reward=remote'], 'url'),
    (['--reward=regex_format'], 'pattern'),
    (
      ['--reward=jpeg_compressibility', '--parameters={"size": 3}'],
      r"got \['size'\]",
    ),
    (['--reward=jpeg_compressibility', '--parameters=3'], 'JSON object'),
    (['--reward=jpeg_compressibility', '--workers=0'], 'at least 1'),
    (['--reward=jpeg_compressibility', '--port=99999'], '127.0.0.1:99999'),
  ],
)
def test_the_command_line_refuses(arguments, message, capsys):
  assert server.main(['server', *arguments]) == 2
  assert re.search(message, capsys.readouterr().err)


def test_help_describes_every_reward(capsys):
  with pytest.raises(SystemExit):
    server.main(['server', '--help'])
  text = capsys.readouterr().out
  for name in (
    'jpeg_compressibility: r = −size',
    'jpeg_incompressibility: r',
    'number_match: 1 where',
  ):
    assert name in text


def test_the_command_line_serves(images):
  process = subprocess.Popen(
    [
      *(sys.executable, '-m', 'adrpo_jax.rewards.server'),
      *('--reward=jpeg_compressibility', '--parameters={"quality": 50}'),
      '--port=0',
    ],
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    name, _, url = process.stdout.readline().split()
    assert name == 'jpeg_compressibility'
    np.testing.assert_allclose(
      remote(url)(('',) * 3, images), jpeg.compressibility(50)('', images)
    )
  finally:
    process.kill()
    process.wait()
