"""What differs between pictures and texts once they are made."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from etils import epath
import numpy as np

from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.types import Array

Arrays = Mapping[str, np.ndarray]


class Medium(NamedTuple):
  """What a run keeps of its samples and writes of them.

  seen:      (decoded) -> name -> [P, G, ...], what is kept of them; pure
  diagnosed: diagnostics of a loss that are kept with them
  keep:      (path, what is kept of some prompts' samples with their scores,
             these prompts) -> None: writes what a report shows
  write:     (folder, prompts, what is kept of their samples) -> None: writes
             what --mode=sample leaves
  logged:    (file that `keep` wrote) -> name -> what W&B logs of its samples
  noun:      what samples are called
  """

  seen: Callable[[Array], Mapping[str, Array]]
  diagnosed: tuple[str, ...]
  keep: Callable[[epath.Path, Arrays, PromptSet], None]
  write: Callable[[epath.Path, Sequence[str], Arrays], None]
  logged: Callable[[epath.Path], Mapping[str, Any]]
  noun: str
