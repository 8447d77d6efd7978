"""Batches stated in prompts for each chip, so that they fit any mesh."""

from collections.abc import Mapping

from ml_collections import ConfigDict


def fit_to_chips(
  config: ConfigDict,
  mesh_shape: Mapping[str, int],
  prompts: int = 0,
  eval_prompts: int = 0,
) -> None:
  """Sets the batches of a config to multiples of the chips that share them.

  A batch is shared over the axes data and fsdp.

  Args:
    config: changed in place.
    mesh_shape: name of an axis -> its size.
    prompts: of a step, for each of these chips; 0 keeps the config's number.
    eval_prompts: of a batch of an evaluation, for each; 0 keeps the config's
      number, raised to the next multiple where `prompts` is given.
  """
  chips = mesh_shape['data'] * mesh_shape['fsdp']
  if prompts:
    config.prompts.prompts_per_step = prompts * chips
    config.eval.batch_size = chips * -(-config.eval.batch_size // chips)
  if eval_prompts:
    config.eval.batch_size = eval_prompts * chips
