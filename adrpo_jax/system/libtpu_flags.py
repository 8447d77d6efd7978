"""Flags of the TPU compiler that this package runs with.

They are read from LIBTPU_INIT_ARGS when the first TPU is looked for, so they
are set before; on a machine without TPUs they are read by nobody.
"""

from collections.abc import MutableMapping
import os

# Products with sharded weights gather them first. In rings of products that
# hand parts of the weights on, which the compiler takes otherwise where one
# axis of the mesh is the whole slice, an update of SD3-medium with LoRA on
# v5e:4x4 is bound by memory at 3.8 s instead of by compute at 3.0 s.
FLAGS = {'xla_jf_spmd_threshold_for_windowed_einsum_mib': '1000000'}


def set_flags(environment: MutableMapping[str, str] = os.environ) -> None:
  """Adds them to LIBTPU_INIT_ARGS; what is set there already stays."""
  given = environment.get('LIBTPU_INIT_ARGS', '')
  added = [
    f'--{name}={value}' for name, value in FLAGS.items() if name not in given
  ]
  environment['LIBTPU_INIT_ARGS'] = ' '.join([*given.split(), *added])
