"""A program run as two processes of JAX, with two CPU devices each."""

import pathlib
import socket
import subprocess
import sys

START = """
import sys
import jax
jax.config.update('jax_cpu_collectives_implementation', 'gloo')
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
"""


def agree(program, *arguments):
  """Runs it behind START; both must end well, and print 'agreed'.

  sys.argv is [_, address, number of the process, *arguments].
  """
  here = pathlib.Path(__file__).parent
  root = here.parents[1]
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    address = f'localhost:{probe.getsockname()[1]}'
  processes = [
    subprocess.Popen(
      [
        *(sys.executable, '-c', START + program, address, str(i)),
        *map(str, arguments),
      ],
      cwd=root,
      env={
        'PATH': '/usr/bin:/bin',
        'PYTHONPATH': f'{root}:{here}',
        'JAX_PLATFORMS': 'cpu',
        'XLA_FLAGS': '--xla_force_host_platform_device_count=2',
      },
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for i in range(2)
  ]
  outputs = [process.communicate(timeout=240)[0] for process in processes]
  for process, output in zip(processes, outputs, strict=True):
    assert process.returncode == 0, output
    assert 'agreed' in output
