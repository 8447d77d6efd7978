"""The software and the devices of a run, as its records name them."""

import importlib.metadata
import pathlib
import subprocess
import sys

import jax

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')


def versions() -> dict[str, str]:
  """Returns the versions of packages and Python, and the commit of the code."""
  numbers = {name: importlib.metadata.version(name) for name in PACKAGES}
  numbers['python'] = sys.version.split()[0]
  root = pathlib.Path(__file__).parent
  commit = subprocess.run(
    ['git', '-C', str(root), 'rev-parse', '--short', 'HEAD'],
    capture_output=True,
    text=True,
    check=False,
  )
  numbers['commit'] = commit.stdout.strip() or 'unknown'
  return numbers


def device_name() -> str:
  """Returns the kind and number of the devices of all processes."""
  return f'{jax.devices()[0].device_kind} x{jax.device_count()}'
