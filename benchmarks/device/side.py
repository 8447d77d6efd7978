"""One side of a part in a process of its own: a result a line, the last counts.

python -m benchmarks.device.side flow_jax --guidance=4.5 --limit=120
"""

import argparse
from collections.abc import Callable
import json
import pathlib
import tempfile
import time
from typing import Any

from benchmarks.device import settings as device_settings
from benchmarks.device.settings import Settings

STARTED = time.perf_counter()


def main() -> None:
  """Runs the side that the command line names."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('side', choices=SIDES)
  parser.add_argument('--rehearse', action='store_true')
  parser.add_argument('--guidance', type=float, default=1.0)
  parser.add_argument('--repeats', type=int, default=20)
  parser.add_argument('--limit', type=float, default=600.0)
  parser.add_argument('--trace', type=pathlib.Path, help='of our sides')
  args = vars(parser.parse_args())
  side = SIDES[args.pop('side')]
  with tempfile.TemporaryDirectory() as folder:
    side(Settings(**args), pathlib.Path(folder))


def flow_jax(settings: Settings, folder: pathlib.Path) -> None:
  """This package, SD3."""
  from benchmarks.device import jax_side

  _write_tiny_sd3(settings, folder)
  jax_side.measure(
    device_settings.flow_config(settings, folder),
    judged=True,
    repeats=settings.repeats,
    limit=_left(settings),
    report=_print,
    trace=settings.trace,
  )


def flow_torch(settings: Settings, folder: pathlib.Path) -> None:
  """diffusers, SD3."""
  from adrpo_jax.models.sd3 import folder as sd3_folder
  from benchmarks import timing
  from benchmarks.device import torch_flow_side

  _write_tiny_sd3(settings, folder)
  config = device_settings.flow_config(settings, folder)
  model = (
    sd3_folder.read(folder)
    if settings.rehearse
    else sd3_folder.ARCHITECTURES[config.model.architecture]
  )
  backend = 'eager' if settings.rehearse else 'inductor'

  def report(result: dict[str, Any]) -> None:
    peak = torch_flow_side.peak_mib() or timing.host_peak_mib()
    device = torch_flow_side.device_name()
    _print({'device': device} | result | {'peak_mib': peak})

  timing.median_seconds(
    torch_flow_side.make_step(config, model, backend),
    settings.repeats,
    limit=_left(settings),
    report=report,
  )


def text_jax(settings: Settings, folder: pathlib.Path) -> None:
  """This package, Qwen3."""
  from benchmarks.device import jax_side

  _write_text_config(settings, folder)
  jax_side.measure(
    device_settings.text_config(settings, folder),
    judged=False,
    repeats=settings.repeats,
    limit=_left(settings),
    report=_print,
    trace=settings.trace,
  )


def text_trl(settings: Settings, folder: pathlib.Path) -> None:
  """TRL, which generates with transformers, Qwen3."""
  from benchmarks.device import trl_side

  sizes = _write_text_config(settings, folder)
  config = device_settings.text_config(settings, folder)
  trl_side.measure(
    config, sizes, folder, settings.repeats, _left(settings), _print
  )


def _write_tiny_sd3(settings: Settings, folder: pathlib.Path) -> None:
  if settings.rehearse:
    from adrpo_jax.models.tiny import sd3

    sd3.write(folder)


def _write_text_config(settings: Settings, folder: pathlib.Path) -> Any:
  """The sizes of the language model; those of a rehearsal also as a file."""
  from adrpo_jax.models.decoder import folder as decoder_folder
  from adrpo_jax.models.decoder.architectures import ARCHITECTURES
  from adrpo_jax.models.tiny import qwen

  sizes = ARCHITECTURES['qwen3_0p6b']
  if settings.rehearse:
    sizes = qwen.CONFIG
    (folder / 'config.json').write_text(
      json.dumps(decoder_folder.config_fields(sizes))
    )
  return sizes


def _left(settings: Settings) -> Callable[[], float]:
  return lambda: STARTED + settings.limit - time.perf_counter()


def _print(result: dict[str, Any]) -> None:
  print(json.dumps(result), flush=True)


SIDES = {
  'flow_jax': flow_jax,
  'flow_torch': flow_torch,
  'text_jax': text_jax,
  'text_trl': text_trl,
}

if __name__ == '__main__':
  main()
