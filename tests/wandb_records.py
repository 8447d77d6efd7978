"""What an offline run of W&B holds: its .wandb file, read record by record.

The file is a log as LevelDB writes it: after 7 bytes of header, blocks of 32
KiB of chunks (checksum 4 bytes, length 2, kind 1, payload). A record is one
chunk of kind 1, or chunks of kinds 2, 3, …, 4.
"""

import json
import pathlib
import struct

BLOCK = 32768


def records(path):
  """(kind, message) of each record of a .wandb file."""
  from wandb.proto import wandb_internal_pb2

  content = pathlib.Path(path).read_bytes()
  assert content[:4] == b':W&B'
  place, payload = 7, b''
  while place < len(content):
    left = BLOCK - place % BLOCK
    if left < 7:  # too little for the head of a chunk
      place += left
      continue
    _, length, kind = struct.unpack_from('<IHB', content, place)
    payload += content[place + 7 : place + 7 + length]
    place += 7 + length
    if kind in (1, 4):
      record = wandb_internal_pb2.Record.FromString(payload)
      payload = b''
      name = record.WhichOneof('record_type')
      yield name, getattr(record, name)


def history(path):
  """The rows of the history, each name -> value; nested names joined by '.'."""
  return [
    {
      '.'.join(item.nested_key) or item.key: json.loads(item.value_json)
      for item in message.item
    }
    for kind, message in records(path)
    if kind == 'history'
  ]


def run(path):
  """The record of the run itself: id, project, name."""
  return next(message for kind, message in records(path) if kind == 'run')


def config(path):
  """The config, as it was given when the run began."""
  return {
    update.key: json.loads(update.value_json)
    for update in run(path).config.update
  }


def files(workdir):
  """The .wandb files of a workdir, in the order of their making."""
  found = pathlib.Path(workdir).glob('wandb/offline-run-*/*.wandb')
  return sorted(found, key=lambda path: path.stat().st_mtime_ns)
