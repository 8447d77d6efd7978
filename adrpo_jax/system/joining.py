"""How a process joins the others of a run, one on each host."""

import os

import jax

from adrpo_jax.errors import InputError, RunError
from adrpo_jax.system.peers import HEARTBEAT
from adrpo_jax.system.stop_signals import listen_again


def join() -> None:
  """Joins the other processes, if there are any.

  Raises:
    InputError: the environment does not name them as it should.
    RunError: this host is of a pod and did not find the others. It would train
      alone, and its chips would wait for those of the others.
  """
  platforms = getattr(jax.config, 'jax_platforms', None)
  if os.environ.get('JAX_COORDINATOR_ADDRESS'):
    _join_named()
  elif 'tpu' in (platforms or ''):  # JAX has set it, on a host with TPUs.
    _join_pod()
  if jax.distributed.is_initialized() and jax.process_count() == 1:
    listen_again()  # The handlers that were there before JAX's own.


def check_alone(command: str) -> None:
  """Raises InputError if this host is one of several, by its environment."""
  names = os.environ.get('TPU_WORKER_HOSTNAMES', '').split(',')
  if os.environ.get('JAX_COORDINATOR_ADDRESS') or len(names) > 1:
    raise InputError(
      f'Expected one host for {command}, which starts a run after the other, '
      'but the environment (JAX_COORDINATOR_ADDRESS, TPU_WORKER_HOSTNAMES) '
      'names several. Give adrpo_jax.main on all hosts for each method and '
      'seed, with --workdir=FOLDER/METHOD/seed_K; then give this command with '
      '--workdir=FOLDER on one host without those variables. It runs nothing '
      'that is finished.'
    )


def _join_named() -> None:
  """Joins the processes that environment variables name."""
  names = ('JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
  try:
    count, own = (int(os.environ[name]) for name in names)
    jax.distributed.initialize(
      num_processes=count,
      process_id=own,
      heartbeat_timeout_seconds=HEARTBEAT,
    )
  except (KeyError, ValueError) as error:
    values = {name: os.environ.get(name) for name in names}
    raise InputError(
      'Expected JAX_NUM_PROCESSES and a smaller JAX_PROCESS_ID beside '
      f'JAX_COORDINATOR_ADDRESS, got {values}.'
    ) from error


def _join_pod() -> None:
  """Joins the other hosts of a TPU pod, if this one is of a pod."""
  try:
    jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT)
  except (ValueError, OSError) as error:
    # TPUs know how many hosts they have.
    if (count := jax.process_count()) > 1:
      raise RunError(
        f'Expected to join the {count} hosts of these TPUs, got: '
        f'{error}. Give the command on all of them at once; if they '
        'cannot find each other, name them by JAX_COORDINATOR_ADDRESS, '
        'JAX_NUM_PROCESSES and JAX_PROCESS_ID.'
      ) from error
