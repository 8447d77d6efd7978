"""The published speed of accelerators, by the kind that JAX gives a device.

Operations per second in bfloat16, without sparsity. A device of TPU7x is half a
chip. Sources: the Google Cloud documentation of each TPU, November 2026; data
sheets of NVIDIA.
"""

PEAK_FLOPS = {
  'TPU v4': 275e12,
  'TPU v5 lite': 197e12,
  'TPU v5': 459e12,
  'TPU v6 lite': 918e12,
  'TPU7x': 1153.5e12,
  'NVIDIA A100-SXM4-40GB': 312e12,
  'NVIDIA A100-SXM4-80GB': 312e12,
  'NVIDIA H100 80GB HBM3': 989.4e12,
  'NVIDIA H200': 989.4e12,
}
