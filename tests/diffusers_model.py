"""What a transformer of diffusers computes, in our layout of images."""


def velocity_of(model, x, sigma, states, pooled):
  """Returns the velocity [B, H, W, C] of arrays in our layout, a tensor."""
  import torch

  with torch.no_grad():
    return model(
      torch.tensor(x.transpose(0, 3, 1, 2)),
      torch.tensor(states),
      torch.tensor(pooled),
      1000 * torch.tensor(sigma),
    )[0].permute(0, 2, 3, 1)
