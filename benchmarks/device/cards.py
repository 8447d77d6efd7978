"""What cards can do: dense bfloat16 operations per second, as published."""

# NVIDIA's data sheets, without sparsity; by the start of the device's name.
PEAK_FLOPS = {
  'NVIDIA B200': 2250e12,
  'NVIDIA H200': 989e12,
  'NVIDIA H100 PCIe': 756e12,
  'NVIDIA H100': 989e12,
  'NVIDIA A100': 312e12,
  'NVIDIA L40S': 362e12,
  'NVIDIA L4': 121e12,
  'NVIDIA GeForce RTX 4090': 165e12,
}


def utilization(device: str, flops: float, seconds: float) -> float | None:
  """Model operations over what the card could do; None for an unknown card."""
  for name, peak in PEAK_FLOPS.items():
    if device.startswith(name):
      return round(flops / seconds / peak, 4)
  return None
