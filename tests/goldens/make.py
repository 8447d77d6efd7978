"""Makes sd3_tiny.npz: what diffusers says of the random model of the package.

  python tests/goldens/make.py          needs the parity extra

For tests on machines without PyTorch. Both variants, SD3 and SD3.5: the
velocity at two noise levels, the conditions of three texts, and pictures of two
of them by the whole pipeline.
"""

import pathlib
import tempfile

import diffusers
import numpy as np
import torch

from adrpo_jax.models.tiny import sd3 as sd3_tiny

TEXTS = ('A red fox on 2 hills.', 'an owl', '')
T5_LENGTH, STEPS, GUIDANCE = 20, 3, 5.0
VARIANTS = {
  'sd3': sd3_tiny.TRANSFORMER,
  'sd35': sd3_tiny.TRANSFORMER_35,
}


def inputs() -> dict[str, np.ndarray]:
  """Latents [2, 8, 6, 16], σ, text states and pooled text."""
  rng = np.random.default_rng(0)
  return {
    'latents': rng.normal(size=(2, 8, 6, 16)).astype(np.float32),
    'sigma': np.array([0.25, 0.9], np.float32),
    'states': rng.normal(size=(2, 7, 48)).astype(np.float32),
    'pooled': rng.normal(size=(2, 32)).astype(np.float32),
  }


def of_variant(name: str, folder: pathlib.Path) -> dict[str, np.ndarray]:
  """The golden numbers of one variant."""
  sd3_tiny.write(folder, VARIANTS[name])
  pipeline = diffusers.StableDiffusion3Pipeline.from_pretrained(folder)
  pipeline.set_progress_bar_config(disable=True)
  given = inputs()
  latents = torch.tensor(given['latents'].transpose(0, 3, 1, 2))
  with torch.no_grad():
    velocity = pipeline.transformer(
      latents,
      torch.tensor(given['states']),
      torch.tensor(given['pooled']),
      1000 * torch.tensor(given['sigma']),
    )[0]
    states, _, pooled, _ = pipeline.encode_prompt(
      list(TEXTS),
      None,
      None,
      do_classifier_free_guidance=False,
      max_sequence_length=T5_LENGTH,
    )
  pictures = pipeline(
    list(TEXTS[:2]),
    num_inference_steps=STEPS,
    guidance_scale=GUIDANCE,
    latents=latents,
    height=64,
    width=48,
    max_sequence_length=T5_LENGTH,
    output_type='pt',
  ).images
  found = {
    'velocity': velocity.permute(0, 2, 3, 1),
    'condition_states': states,
    'condition_pooled': pooled,
    'pictures': pictures.permute(0, 2, 3, 1)[:, ::4, ::4],
  }
  return {f'{name}/{key}': value.numpy() for key, value in found.items()}


def main() -> None:
  """Writes the file beside this one."""
  golden = {}
  for name in VARIANTS:
    with tempfile.TemporaryDirectory() as folder:
      golden |= of_variant(name, pathlib.Path(folder))
  np.savez_compressed(pathlib.Path(__file__).parent / 'sd3_tiny.npz', **golden)


if __name__ == '__main__':
  main()
