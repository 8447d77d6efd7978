"""Every reader of files: how to make whole files, read them, and judge.

A reader either raises one of its typed errors, or returns a value that is right
for the files as they are: what an oracle finds in them, or what was written,
where the format notices every change.
"""

from collections.abc import Callable
import dataclasses
import functools
import json
import pathlib
from typing import Any, NamedTuple

import model_readers
import numpy as np
import oracles
from oracles import same
from PIL import Image
import synthetic_runs
import synthetic_texts
import workdir_readers

from adrpo_jax.compare.results import read_comparison
from adrpo_jax.data import prompts
from adrpo_jax.errors import InputError
from adrpo_jax.report.run_record import read_run
from adrpo_jax.rewards.remote import wire
from adrpo_jax.rewards.text.protocol import TextPrompt
from adrpo_jax.samples import image_file, text_file
from adrpo_jax.scoring import image_files

Folder = pathlib.Path


class Reader(NamedTuple):
  """One reader of files.

  make:  (empty folder) -> None, writes whole files
  read:  (folder) -> value
  right: (value, value of the whole files, folder) -> is it right?
  typed: errors that it may raise
  share: of the mutations, relative to the others; slow ones have less
  """

  make: Callable[[Folder], Any]
  read: Callable[[Folder], Any]
  right: Callable[[Any, Any, Folder], bool]
  typed: tuple[type[Exception], ...] = (InputError,)
  share: float = 1.0


def unchanged(value, whole, folder):
  """The format notices every change."""
  return same(value, whole)


def unchanged_or_none(value, whole, folder):
  return value is None or same(value, whole)


def load_prompts(name, **options):
  def read(folder):
    loaded = prompts.load(str(folder / name), **options)
    return loaded.texts, loaded.categories, loaded.answers

  return read


TEXTS = ('a red circle', 'two, "blue" squares ä', 'Ein grüner Würfel 🙂')


def make_text(folder):
  (folder / 'p.txt').write_text('\n'.join(TEXTS) + '\n')


def make_json_lines(folder):
  rows = [
    {'prompt': text, 'category': f'c{i}', 'answer': i / 7, 'tag': None}
    for i, text in enumerate(TEXTS)
  ]
  (folder / 'p.jsonl').write_text('\n'.join(map(json.dumps, rows)) + '\n')


def make_table(delimiter):
  def make(folder):
    quote = '"' if delimiter == ',' else ''
    rows = [['Prompt', 'Category', 'answer']] + [
      [f'{quote}{text.replace(chr(34), quote * 2)}{quote}', f'c{i}', f'{i}.0']
      for i, text in enumerate(TEXTS)
    ]
    name = 'p.csv' if delimiter == ',' else 'p.tsv'
    lines = (delimiter.join(row) for row in rows)
    (folder / name).write_text('\n'.join(lines) + '\n')

  return make


def right_text(value, whole, folder):
  lines = oracles.lines((folder / 'p.txt').read_bytes())
  return same(value[0], tuple(line.strip() for line in lines))


def right_json_lines(value, whole, folder):
  rows = oracles.json_lines((folder / 'p.jsonl').read_bytes())
  return same(value[0], tuple(_text_of(row).strip() for row in rows))


def _text_of(row):
  keys = {key.strip().lower(): key for key in reversed(row)}
  known = ('prompt', 'prompts', 'caption', 'text')
  return row[next(keys[name] for name in known if name in keys)]


def right_table(name):
  """Every text stands in the file, and no more texts than lines."""

  def right(value, whole, folder):
    content = (folder / name).read_bytes().decode('utf-8-sig')
    written = content.replace('""', '"').replace('\r\n', '\n')
    written = written.replace('\r', '\n')
    return 0 < len(value[0]) < content.count('\n') + content.count(
      '\r'
    ) + 2 and (all(text.replace('""', '"') in written for text in value[0]))

  return right


def pixels(seed=0, size=(2, 2, 9, 7, 3)):
  return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def make_image(name, **options):
  def make(folder):
    Image.fromarray(pixels()[0, 0]).save(folder / name, **options)

  return make


def read_image(name):
  return lambda folder: image_files.read_pixels(folder / name)


def looks_like_an_image(value, whole, folder):
  """JPEG and WebP have no checksum: damage may show as other pixels."""
  return value.ndim == 3 and value.shape[2] == 3 and value.dtype == np.uint8


def make_samples(folder):
  synthetic_runs.samples(folder / 's.npz', [0.5] * 6, per_category=1, group=2)


def make_text_samples(folder):
  synthetic_texts.samples(folder / 's.npz', [0.5] * 6, per_category=1)


def fields_of(read):
  return lambda folder: dataclasses.asdict(read(folder / 's.npz'))


def make_request(encoding):
  def make(folder):
    body = wire.write_request(TEXTS[:2], pixels()[0], encoding)
    (folder / 'body.json').write_bytes(body)

  return make


def make_text_request(folder):
  asked = [TextPrompt(text, text[:3]) for text in TEXTS]
  body = wire.write_text_request(asked, list(TEXTS))
  (folder / 'body.json').write_bytes(body)


def read_body(read):
  """Reads a body; one that never came is empty."""

  def read_file(folder):
    path = folder / 'body.json'
    return read(path.read_bytes() if path.exists() else b'')

  return read_file


def right_request(value, whole, folder):
  record = json.loads((folder / 'body.json').read_bytes())
  first, second = value
  texts = [getattr(prompt, 'text', prompt) for prompt in first]
  if isinstance(second, np.ndarray):
    # PNG has checksums; npy has none: its pixels may be others.
    return same(texts, record['prompts']) and second.dtype == np.uint8
  return same(texts, record['prompts']) and same(
    list(second), record['answers']
  )


def right_answer(value, whole, folder):
  said = json.loads((folder / 'body.json').read_bytes())['rewards']
  said = [np.nan if number is None else float(number) for number in said]
  return same(value.tolist(), said)


def make_answer(folder):
  body = wire.write_answer(np.array([0.5, np.nan, -3e7, 1 / 3]))
  (folder / 'body.json').write_bytes(body)


def make_run(folder):
  synthetic_runs.write_run(folder / 'run', steps=20)


def read_record(folder):
  """The record, as far as it is compared; a property must not fail either."""
  run = read_run(folder / 'run')
  seen = run.title, run.measures, run.steps, run.base, run.final
  assert seen
  return {
    'metrics': run.metrics,
    'evaluations': run.evaluations,
    'samples': [
      None if kept is None else dataclasses.asdict(kept)
      for kept in (run.base_samples, run.tuned_samples)
    ],
  }


def right_record(value, whole, folder):
  """Lines are those of the files; samples are whole or left out."""
  for name in ('metrics', 'evaluations'):
    path = folder / 'run' / f'{name}.jsonl'
    raw = path.read_bytes().decode(errors='replace') if path.is_file() else ''
    written = []
    for line in raw.split('\n'):  # Other ends of lines stand within texts.
      try:
        written.append(json.loads(line))
      except (ValueError, RecursionError):
        continue
    base = (
      [record for record in value[name] if record.get('step') == 0]
      if name == 'evaluations'
      else []
    )
    known = [*map(repr, written), *map(repr, base)]
    if not all(repr(record) in known for record in value[name]):
      return False
  return all(
    kept is None or any(same(kept, drawn) for drawn in whole['samples'])
    for kept in value['samples']
  )


def make_comparison(folder):
  for seed in range(2):
    for method in ('adrpo', 'nft'):
      place = folder / 'runs' / method / f'seed_{seed}'
      synthetic_runs.write_run(place, method=method, seed=seed, steps=10)


def read_rows(folder):
  return [
    (row.method, row.mean('success'))
    for row in read_comparison(folder / 'runs').methods
  ]


def right_rows(value, whole, folder):
  """Methods of the folder, with a number or none."""
  return all(
    method in ('adrpo', 'nft') and isinstance(mean, float | int | None)
    for method, mean in value
  )


READERS = {
  'prompts.txt': Reader(make_text, load_prompts('p.txt'), right_text),
  'prompts.jsonl': Reader(
    make_json_lines, load_prompts('p.jsonl'), right_json_lines
  ),
  'prompts.csv': Reader(
    make_table(','), load_prompts('p.csv'), right_table('p.csv')
  ),
  'prompts.tsv': Reader(
    make_table('\t'), load_prompts('p.tsv'), right_table('p.tsv')
  ),
  'image.png': Reader(make_image('i.png'), read_image('i.png'), unchanged),
  'image.jpg': Reader(
    make_image('i.jpg'), read_image('i.jpg'), looks_like_an_image
  ),
  'image.webp': Reader(
    make_image('i.webp', lossless=True),
    read_image('i.webp'),
    looks_like_an_image,
  ),
  'samples.npz': Reader(make_samples, fields_of(image_file.read), unchanged),
  'texts.npz': Reader(make_text_samples, fields_of(text_file.read), unchanged),
  'request png': Reader(
    make_request('png'),
    read_body(wire.read_request),
    right_request,
    (wire.WireError,),
  ),
  'request npy': Reader(
    make_request('npy'),
    read_body(wire.read_request),
    right_request,
    (wire.WireError,),
  ),
  'request of texts': Reader(
    make_text_request,
    read_body(wire.read_request),
    right_request,
    (wire.WireError,),
  ),
  'answer': Reader(
    make_answer,
    read_body(functools.partial(wire.read_answer, count=4)),
    right_answer,
    (wire.WireError,),
  ),
  'error': Reader(
    lambda folder: (folder / 'body.json').write_bytes(wire.write_error('no')),
    read_body(wire.read_error),
    lambda value, whole, folder: isinstance(value, str) and len(value) <= 200,
    (),
  ),
  'run record': Reader(
    make_run,
    read_record,
    right_record,
    (InputError, FileNotFoundError),
    0.3,
  ),
  'comparison': Reader(
    make_comparison, read_rows, right_rows, (InputError, FileNotFoundError), 0.1
  ),
  **{
    name: Reader(*row)
    for name, row in (model_readers.ROWS | workdir_readers.ROWS).items()
  },
}
