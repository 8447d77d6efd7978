"""The memory of a device: what is published of it, or what it says itself."""

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
  """Returns the bytes of a device's memory, None if unknown.

  What is published comes first: the devices of a topology that is compiled for
  cannot be asked, and all processes must find the same. A CPU has no limit.
  """
  if device.device_kind in HBM:
    return HBM[device.device_kind]
  return (device.memory_stats() or {}).get('bytes_limit')
