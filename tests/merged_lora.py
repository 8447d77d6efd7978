"""What an adapter stands for: the sum of a base and its adapters."""

from flax.traverse_util import flatten_dict, unflatten_dict
import jax.numpy as jnp


def merge(base, adapters, scale):
  """W + scale·A·B of each adapter, in float32."""
  flat = flatten_dict(base, sep='/')
  for name, pair in adapters.items():
    delta = scale * pair['a'] @ pair['b']
    flat[name] = flat[name].astype(jnp.float32) + delta
  return unflatten_dict(flat, sep='/')


def split(attached):
  """(base, name of a kernel -> {'a', 'b'}) of a tree from `lora.attach`."""
  flat, adapters = flatten_dict(attached, sep='/'), {}
  for name in [name for name in flat if '/lora_' in name]:
    layer, _, part = name.rpartition('/lora_')
    adapters.setdefault(f'{layer}/dense/kernel', {})[part] = flat.pop(name)
  return unflatten_dict(flat, sep='/'), adapters
