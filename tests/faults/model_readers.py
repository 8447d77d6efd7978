"""Readers of models: weights, configs, tokenizers, adapters.

A row is the fields of `readers.Reader`.
"""

import dataclasses
import functools
import itertools
import json
import math

import jax
import numpy as np
import oracles
from oracles import same
import small_run

from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder import chat_tokenizer
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.weight_table import decoder_rows
from adrpo_jax.models.files import lora_files, tokenizers
from adrpo_jax.models.files.safetensors_trees import load_tree, save_tree
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.sd3 import folder as sd3_folder
from adrpo_jax.models.shapes import base as base_models
from adrpo_jax.models.tiny import clip as tiny_clip
from adrpo_jax.models.tiny import qwen as tiny_qwen
from adrpo_jax.models.tiny import sd3 as tiny_sd3
from adrpo_jax.rewards.clip.aesthetic import read_head
from adrpo_jax.rewards.clip.folder import read_clip

TREE = {
  'a': np.arange(600, dtype=np.float32).reshape(20, 30),
  'b': {'c': np.float32(2.5), 'd': np.arange(4, dtype=np.int32)},
}
SHAPES = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), TREE)


def right_tree(value, whole, folder):
  """Floats of another width are cast, all else is as stored."""
  stored = oracles.safetensors((folder / 't.safetensors').read_bytes())
  leaves = {'a': value['a'], 'b/c': value['b']['c'], 'b/d': value['b']['d']}
  return stored.keys() == leaves.keys() and all(
    same(np.asarray(leaves[name]), stored[name].astype(leaves[name].dtype))
    for name in leaves
  )


def make_shards(folder):
  save_tree(folder / 'model-1.safetensors', {'x': TREE['a']})
  save_tree(folder / 'model-2.safetensors', {'y': TREE['b']['d']})
  index = {
    'weight_map': {'x': 'model-1.safetensors', 'y': 'model-2.safetensors'}
  }
  (folder / 'model.safetensors.index.json').write_text(json.dumps(index))


def read_shards(folder):
  with tensor_files(folder, ('model',)) as files:
    return {name: files.read(name) for name in files.shapes}


def right_shards(value, whole, folder):
  if (folder / 'model.safetensors').exists():
    return False
  index = json.loads((folder / 'model.safetensors.index.json').read_bytes())
  stored = {
    name: oracles.safetensors((folder / file).read_bytes())[name]
    for name, file in index['weight_map'].items()
  }
  return same(value, stored)


def make_base(folder):
  shapes = jax.eval_shape(
    lambda: base_models.initialize(small_run.MODELS, jax.random.key(0))
  )
  params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
  base = small_run.MODELS._replace(params=small_run.shaken(params, 0.05))
  base_models.save(folder, base, {'made by': 'tests'})


def read_base(folder):
  base = base_models.load(folder)
  return {
    'configs': [dataclasses.asdict(config) for config in base[:3]],
    'params': base.params,
  }


def right_base(value, whole, folder):
  """Configs are those of the file; weights those of theirs."""
  fields = json.loads((folder / 'config.json').read_bytes())
  for name, config in zip(base_models.CONFIGS, value['configs'], strict=True):
    if not agrees(config, fields[name], set(config)):
      return False
  return all(
    agrees_with_weights(tree, folder / f'{name}.safetensors')
    for name, tree in value['params'].items()
  )


def agrees_with_weights(tree, path):
  stored = oracles.safetensors(path.read_bytes())
  leaves = base_models.safetensors_trees.leaf_names(tree)
  return stored.keys() == leaves.keys() and all(
    same(np.asarray(leaf), stored[name].astype(leaf.dtype))
    for name, leaf in leaves.items()
  )


def agrees(config, fields, names):
  """The fields of a config are those of a file where that has them."""
  return all(
    fields.get(name) is None or equal(config[name], fields[name])
    for name in names
    if name in config
  )


def equal(ours, theirs):
  """The value of a config and of JSON; an integer is a float too."""
  if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
    return len(ours) == len(theirs) and all(map(equal, ours, theirs))
  if isinstance(ours, bool) or isinstance(theirs, bool):
    return ours is theirs
  return ours == theirs


def sane(config):
  """Sizes are at least 1, and numbers are finite."""
  return all(
    not isinstance(value, int | float)
    or isinstance(value, bool)
    or (math.isfinite(value) and value >= 0)
    for value in config.values()
  )


def read_decoder(folder):
  return dataclasses.asdict(decoder_folder.read(folder).config)


def right_decoder(value, whole, folder):
  fields = json.loads((folder / 'config.json').read_bytes())
  read = {'tie_word_embeddings', 'attention_bias', 'rope_scaling'}
  plain = set(value) - read
  sizes = [v for k, v in value.items() if type(v) is int]
  return (
    agrees(value, fields, plain)
    and sane(value)
    and min(sizes) >= 1
    and 0 < value['rms_norm_eps'] < math.inf
    and 0 < value['rope_theta'] < math.inf
  )


def make_decoder_config(folder):
  tiny_qwen.write(folder)
  (folder / 'model.safetensors').unlink()
  for file in folder.iterdir():
    if file.name != 'config.json':
      file.unlink()


def read_decoder_weights(folder):
  model = decoder_folder.read(folder)
  params = decoder_folder.load(model, np.float32, lambda shapes: shapes)
  return dataclasses.asdict(model.config), params['params']


def right_decoder_weights(value, whole, folder):
  """Tables and norms of the file, all finite; the sizes are the config's."""
  config, params = value
  stored = oracles.safetensors((folder / 'model.safetensors').read_bytes())
  table = params['embed_tokens']['embedding']
  return (
    right_decoder(config, whole, folder)
    and table.shape == (config['vocab_size'], config['hidden_size'])
    and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    and same(table, stored['model.embed_tokens.weight'].astype(np.float32))
    and same(
      params['norm']['scale'],
      stored['model.norm.weight'].astype(np.float32),
    )
  )


def make_tokenizer(folder):
  tiny_qwen.write_tokenizer(folder)
  (folder / 'generation_config.json').write_text(
    json.dumps({'eos_token_id': [258, 256], 'pad_token_id': 256})
  )


def read_chat(folder):
  tokenizers.load_tokenizer.cache_clear()
  chat = chat_tokenizer.load_chat_tokenizer(folder)
  return [list(map(int, chat.encode('Hi ä'))), chat.stop_ids, chat.pad_id]


def right_chat(value, whole, folder):
  ids, stops, pad = value
  return (
    all(i >= 0 for i in ids)
    and len(stops) > 0
    and all(type(i) is int and i >= 0 for i in stops)
    and type(pad) is int
    and pad >= 0
  )


def make_sd3_configs(folder):
  tiny_sd3.write(folder, t5=False)
  for file in sorted(folder.rglob('*')):
    kept = ('model_index.json', 'config.json', 'scheduler_config.json')
    if file.is_file() and file.name not in kept:
      file.unlink()


def read_sd3(folder):
  model = sd3_folder.read(folder)
  return {
    'transformer': dataclasses.asdict(model.transformer),
    'vae': dataclasses.asdict(model.autoencoder),
    'shift': model.shift,
  }


def right_sd3(value, whole, folder):
  for part in ('transformer', 'vae'):
    fields = json.loads((folder / part / 'config.json').read_bytes())
    if not agrees(value[part], fields, set(value[part])):
      return False
    if not sane({k: v for k, v in value[part].items() if k != 'shift_factor'}):
      return False
  scheduler = folder / 'scheduler' / 'scheduler_config.json'
  shift = json.loads(scheduler.read_bytes()).get('shift', 1.0)
  return value['shift'] == shift and 0 < shift < math.inf


def make_clip_configs(folder):
  tiny_clip.write(folder)
  for file in folder.iterdir():
    if file.name != 'config.json':
      file.unlink()
  (folder / 'preprocessor_config.json').write_text(
    json.dumps({'resample': 3, 'do_resize': True})
  )


def read_clip_configs(folder):
  pair = read_clip(str(folder))
  return [dataclasses.asdict(pair.text), dataclasses.asdict(pair.vision)]


def right_clip(value, whole, folder):
  fields = json.loads((folder / 'config.json').read_bytes())
  parts = [
    fields.get('text_config') or {},
    fields.get('vision_config', fields) or {},
  ]
  shared = {'projection_dim'}
  return all(
    agrees(config, part, set(config) - shared) and sane(config)
    for config, part in zip(value, parts, strict=True)
  )


@functools.cache
def decoder_shapes():
  module = decoder_folder.Decoder(tiny_qwen.CONFIG)
  return decoder_folder.param_shapes(module)


def make_adapter(folder):
  rng = np.random.default_rng(0)
  module = 'base_model.model.model.layers.0.self_attn.q_proj'
  tensors = {
    f'{module}.lora_A.weight': rng.normal(size=(4, 32)).astype(np.float32),
    f'{module}.lora_B.weight': rng.normal(size=(32, 4)).astype(np.float32),
  }
  save_tree(folder / 'adapter_model.safetensors', tensors)
  settings = {'r': 4, 'lora_alpha': 8, 'peft_type': 'LORA', 'use_rslora': False}
  (folder / 'adapter_config.json').write_text(json.dumps(settings))


def read_adapter(folder):
  return lora_files.load(folder, decoder_rows(), decoder_shapes())


def right_adapter(value, whole, folder):
  """Finite numbers where the file has them, of the shapes that were asked."""
  stored = oracles.safetensors(
    (folder / 'adapter_model.safetensors').read_bytes()
  )
  finite = all(np.isfinite(array).all() for array in stored.values())
  return not finite or all(
    np.isfinite(part).all() for pair in value.values() for part in pair.values()
  )


def make_head(folder):
  rng = np.random.default_rng(0)
  sizes, tensors = (12, 8, 4, 1), {}
  for i, (a, b) in enumerate(itertools.pairwise(sizes)):
    tensors[f'layers.{i}.weight'] = rng.normal(size=(b, a)).astype(np.float32)
    tensors[f'layers.{i}.bias'] = rng.normal(size=b).astype(np.float32)
  save_tree(folder / 'head.safetensors', tensors)


def read_affine(folder):
  return [
    np.asarray(x) for x in read_head(str(folder / 'head.safetensors'), 12)
  ]


def right_affine(value, whole, folder):
  """The product of the matrices of the file, as it is now."""
  stored = oracles.safetensors((folder / 'head.safetensors').read_bytes())
  return value[0].shape == whole[0].shape and all(
    array.dtype.kind in 'fV' for array in stored.values()
  )


ROWS = {
  'tree.safetensors': (
    lambda folder: save_tree(folder / 't.safetensors', TREE),
    lambda folder: load_tree(folder / 't.safetensors', SHAPES),
    right_tree,
  ),
  'shards': (make_shards, read_shards, right_shards),
  'base of shapes': (make_base, read_base, right_base, (InputError,), 0.03),
  'config of Qwen': (make_decoder_config, read_decoder, right_decoder),
  'folder of Qwen': (
    tiny_qwen.write,
    read_decoder_weights,
    right_decoder_weights,
    (InputError,),
    0.05,
  ),
  'tokenizer': (make_tokenizer, read_chat, right_chat, (InputError,), 0.1),
  'configs of SD3': (make_sd3_configs, read_sd3, right_sd3),
  'configs of CLIP': (make_clip_configs, read_clip_configs, right_clip),
  'adapter': (make_adapter, read_adapter, right_adapter, (InputError,), 0.5),
  'aesthetic head': (make_head, read_affine, right_affine),
}
