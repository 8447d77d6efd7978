"""The memory of a device: what it says itself, or what is published of it."""

import jax

GIB = 2**30

# Kind of a device in JAX -> bytes of its HBM. A device of TPU7x is half a chip.
# Source: the Google Cloud documentation of each, November 2026.
HBM = {
  'TPU v4': 32 * GIB,
  'TPU v5 lite': 16 * GIB,
  'TPU v5': 95 * GIB,
  'TPU v6 lite': 32 * GIB,
  'TPU7x': 96 * GIB,
}


def memory_bytes(device: jax.Device) -> int | None:
  """Returns the bytes that arrays on a device may take, None if unknown.

  The devices of a topology that is compiled for, and those of other processes,
  cannot be asked. A CPU has no limit of its own.
  """
  try:
    stats = device.memory_stats() or {}
  except jax.errors.JaxRuntimeError:
    stats = {}
  return stats.get('bytes_limit') or HBM.get(device.device_kind)
