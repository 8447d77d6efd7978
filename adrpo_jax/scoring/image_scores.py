"""Images of a folder, judged by any rewards: one figure a line.

A figure is a mean over prompts, with its standard error over prompts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.scoring.image_folder import ImageFolder, read_images
from adrpo_jax.stats.measures import decimal
from adrpo_jax.stats.prompt_means import by_category, mean_and_error, over_group
from adrpo_jax.types import Array, PromptBatch, PyTree


class Figure(NamedTuple):
  """One reward, or a measure of it, over all images.

  by_category: category -> mean, where prompts have categories
  invalid: the share of samples that could not be judged
  """

  mean: float
  error: float
  by_category: dict[str, float]
  invalid: float


def score(
  folder: ImageFolder,
  rewards: Mapping[str, Reward],
  *,
  batch: int,
  facts: Callable[[Sequence[str]], PyTree] = lambda texts: (),
  downscale: Callable[[np.ndarray], np.ndarray] = lambda images: images,
  measure: Callable[[Array, PyTree], Mapping[str, Array]] = lambda x, facts: {},
  place: Callable[[PyTree], PyTree] = lambda rows: rows,
  gather: Callable[[PyTree], PyTree] = lambda tree: tree,
) -> dict[str, Figure]:
  """Judges the images of a folder.

  Args:
    folder: see `image_folder.find_images`.
    rewards: name -> a reward that was made with the texts of its prompts.
    batch: prompts at a time; the last batch is padded with its last prompt.
    facts: (texts) -> pytree [P, ...], for rewards of a world.
    downscale: (images [P, G, H, W, 3]) -> the images at the size that rewards
      judge.
    measure: (images, facts) -> name -> [P], numbers of a group of images, such
      as its diversity; see `make_evaluate`.
    place: puts a batch onto the mesh.
    gather: replicates a tree over all processes.

  Returns:
    'reward' -> Figure, 'reward/measure' for each of its measures, and the
    names of `measure`.
  """
  total, all_facts = len(folder.prompts), facts(folder.prompts.texts)
  parts = []
  for start in range(0, total, batch):
    ids = np.minimum(np.arange(start, start + batch), total - 1)
    rows = PromptBatch.of_step(
      ids.astype(np.int32),
      facts=jax.tree.map(lambda leaf, i=ids: np.asarray(leaf)[i], all_facts),
    )
    pixels = downscale(read_images([folder.files[i] for i in ids]))
    placed, images = place((rows, pixels))
    scores = {name: reward(placed, images) for name, reward in rewards.items()}
    groups = measure(images, placed.facts)
    parts.append(jax.device_get(gather((scores, dict(groups)))))
  by_reward, by_group = jax.tree.map(
    lambda *leaves: np.concatenate(leaves)[:total], *parts
  )
  categories = folder.prompts.categories
  figures = {}
  for name in rewards:
    scores = by_reward[name]
    named = {name: scores.rewards} | {
      f'{name}/{k}': values for k, values in scores.measures.items()
    }
    for key, values in named.items():
      means = over_group(values, scores.valid)
      invalid = float(1 - scores.valid.mean())
      figures[key] = _figure(means, categories, invalid)
  for name, means in by_group.items():
    figures[name] = _figure(means, categories)
  return figures


def as_text(figures: Mapping[str, Figure]) -> str:
  """A table as text: a line for each figure, its categories indented below."""
  lines = []
  for name, figure in figures.items():
    lines.append((name, decimal(figure.mean, figure.error)))
    if figure.invalid:
      lines.append(('  not judged', f'{figure.invalid:.1%}'))
    lines += [(f'  {k}', decimal(v)) for k, v in figure.by_category.items()]
  width = max(len(name) for name, _ in lines)
  return '\n'.join(f'{name:{width}}  {value}' for name, value in lines)


def as_record(
  folder: ImageFolder, figures: Mapping[str, Figure]
) -> dict[str, Any]:
  """The figures as a record for a JSON file."""
  return {
    'prompts': len(folder.files),
    'samples': sum(map(len, folder.files)),
    'figures': {name: figure._asdict() for name, figure in figures.items()},
  }


def _figure(
  means: np.ndarray, categories: Sequence[str], invalid: float = 0.0
) -> Figure:
  """The figure of the means [P] of prompts."""
  return Figure(
    *mean_and_error(means),
    by_category(means, categories) if any(categories) else {},
    invalid,
  )
