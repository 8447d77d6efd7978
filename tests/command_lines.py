"""One of several processes with two CPU devices each; run by test_hosts.py.

python command_lines.py FILE

It runs the command lines of a file of JSON, [[FLAG, ...], ...], one after the
other, joins the other processes in the first, and prints a status for each.
"""

import json
import os
import pathlib
import sys

from absl.testing import flagsaver
import conftest  # noqa: F401 (its flags of XLA)
import jax

from adrpo_jax import main

jax.config.update('jax_num_cpu_devices', 2)
for flags in json.loads(pathlib.Path(sys.argv[1]).read_text()):
  saved = flagsaver.save_flag_values()
  sys.argv[1:] = flags
  status = main.main(sys.argv)
  print(f'status {status}', flush=True)
  flagsaver.restore_flag_values(saved)
  os.environ.pop('JAX_COORDINATOR_ADDRESS', None)  # They have joined.
  if status:
    sys.exit(status)
