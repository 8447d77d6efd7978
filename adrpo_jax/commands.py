"""The commands, each a function of a config and a workdir."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
from typing import Any

from etils import epath
import jax
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax import builders, experience
from adrpo_jax import train as loop
from adrpo_jax.builders.trained_config import check_base
from adrpo_jax.builders.workdir import check_workdir, claim_workdir
from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.data.prompts import PromptSet, check_characters
from adrpo_jax.errors import InputError
from adrpo_jax.evaluate import Evaluation
from adrpo_jax.report import summary as summary_file
from adrpo_jax.report import write as report
from adrpo_jax.samples import image_file
from adrpo_jax.scoring import answer_scores, benchmarks, image_scores
from adrpo_jax.stats.utilization import Utilization, unknown, utilization
from adrpo_jax.system import cache_files, wandb_mirror
from adrpo_jax.system.files import in_bucket
from adrpo_jax.system.going_on import go_on
from adrpo_jax.system.output_folder import check_own, output_folder
from adrpo_jax.system.peak_flops import PEAK_FLOPS
from adrpo_jax.system.records import (
  PER_PROMPT,
  append_json,
  check_steps,
  plain,
  read_config,
  read_lines,
  read_summary,
  write_json,
)
from adrpo_jax.system.run_folder import locked, make_folder
from adrpo_jax.system.stop_signals import STOPPED
from adrpo_jax.system.versions import device_name, versions
from adrpo_jax.types import TrainState

SHOWN = 12  # held-out prompts whose samples a run keeps
Devices = Sequence[jax.Device] | None  # of a mesh; None for all


def train(
  config: ConfigDict, workdir: epath.Path, devices: Devices = None
) -> int:
  """Fine-tunes, evaluates before and after, writes summary and report.

  Returns STOPPED if it was told to stop before its last step.
  """
  builders.check_decoding(config)
  builders.profiled_steps(config)
  with locked(workdir):
    return _train_or_finish(config, workdir, devices)


def _train_or_finish(
  config: ConfigDict, workdir: epath.Path, devices: Devices
) -> int:
  check_workdir(config, workdir)
  finished = read_summary(workdir)
  if finished and finished['steps'] >= config.steps:
    _say(f'{workdir} is finished:\n{json.dumps(finished, indent=1)}')
    if jax.process_index() == 0 and not report.is_written(workdir):
      _say(f'Report: {report.write_report(workdir)}')
    return 0
  project = config.log.wandb.project
  wandb_mirror.check(project)
  mesh = builders.make_mesh(config, devices)
  stored = read_config(workdir)
  before = None
  if stored:  # A run that is older than the key had JAX's default.
    before = stored['config']['compute'].get('products', 'default')
  config = builders.with_products(config, mesh, before, _say)
  run = builders.build(config, mesh)
  claim_workdir(config, workdir, run.identity)
  _say(f'{config.method.name} on {device_name()}, workdir {workdir}')
  with wandb_mirror.mirrored(project, workdir, config.to_dict()) as mirror:
    return _train(config, workdir, run, mirror)


def _train(
  config: ConfigDict,
  workdir: epath.Path,
  run: builders.Run,
  mirror: wandb_mirror.Mirror,
) -> int:
  base = _base_evaluation(config, run)
  evaluations = workdir / 'evaluations.jsonl'

  def keep(step: int, name: str, evaluation: Evaluation) -> None:
    samples = workdir / 'samples' / f'{name}.npz'
    _keep_samples(run, samples, evaluation)
    append_json(evaluations, {'step': step} | evaluation.figures)
    logged = functools.partial(run.kind.logged, samples)
    mirror.evaluation(step, plain(evaluation.figures), logged)

  def evaluate(
    step: int, state: TrainState, between: Callable[[], None]
  ) -> Evaluation:
    policy = run.policy(state, run.frozen)
    evaluation = run.evaluate(policy, run.frozen, between)
    keep(step, f'step_{step:06d}', evaluation)
    return evaluation

  if evaluations.exists():  # A run that goes on has its base's figures.
    _keep_samples(run, workdir / 'samples' / 'base.npz', base)
  else:
    keep(0, 'base', base)
  outcome = loop.train(
    run,
    _experience(config, run, workdir),
    evaluate,
    _schedule(config),
    workdir,
    mirror.metrics,
    _utilization(config, len(run.abstract.step.sharding.device_set)),
  )
  if outcome.preempted:
    step = int(outcome.state.step)
    _say(f'Stopped at step {step} and saved. {go_on(workdir)}')
    return STOPPED
  final = run.evaluate(run.policy(outcome.state, run.frozen), run.frozen)
  keep(config.steps, 'final', final)
  if jax.process_index() == 0:  # It alone knows of a whole metrics.jsonl.
    summary = _summary(config, run, workdir, base, final)
    write_json(workdir / PER_PROMPT, _per_prompt(run, base, final))
    write_json(workdir / 'summary.json', summary)
    _say(summary_file.as_text(summary))
    _say(f'Report: {report.write_report(workdir)}')
  return 0


def evaluate_only(
  config: ConfigDict, workdir: epath.Path, devices: Devices = None
) -> int:
  """Prints the evaluation of a workdir's newest checkpoint, or of the base."""
  run = builders.build(config, builders.make_mesh(config, devices))
  restored = _restored(config, run, workdir)
  if restored is None:
    evaluation = _base_evaluation(config, run)
  else:
    evaluation = run.evaluate(run.policy(restored, run.frozen), run.frozen)
  _say(json.dumps(evaluation.figures, indent=1))
  return 0


def judge(
  config: ConfigDict,
  workdir: epath.Path,
  folder: str,
  prompts: str,
  devices: Devices = None,
) -> int:
  """Prints the scores of a folder of images of any origin."""
  images, figures = builders.judge_images(config, folder, prompts, devices)
  make_folder(workdir)
  source = {'images': folder, 'prompts_file': prompts}
  record = source | image_scores.as_record(images, figures)
  write_json(workdir / 'scores.json', record)
  _say(image_scores.as_text(figures))
  _say(f'Scores: {workdir / "scores.json"}')
  return 0


def score_answers(
  workdir: epath.Path, path: str, benchmark: str, count: int
) -> int:
  """Prints the scores of a file of answers to the questions of a benchmark."""
  items = benchmarks.read_answers(path, benchmark, count=count)
  table = answer_scores.rows(items)
  make_folder(workdir)
  record = {'answers': path, 'benchmark': benchmark}
  record |= answer_scores.as_record(items, table)
  write_json(workdir / 'scores.json', record)
  _say(answer_scores.as_text(table))
  if left := benchmarks.unanswered(items):
    _say(left)
  _say(f'Scores: {workdir / "scores.json"}')
  return 0


def sample(
  config: ConfigDict,
  workdir: epath.Path,
  texts: Sequence[str],
  count: int,
  devices: Devices = None,
  audio: Sequence[str] = (),
) -> int:
  """Draws `count` samples of each prompt and writes them.

  Args:
    config: of the run.
    workdir: of the run; samples are written to its folder drawn.
    texts: the prompts.
    count: samples of each.
    devices: of the mesh.
    audio: files of sound, one for each prompt or one for all; for models that
      hear, and none for others.
  """
  if not texts or count < 1:
    raise InputError(
      'Expected --prompt="..." and --count of at least 1 with --mode=sample, '
      f'got {len(texts)} prompts and count {count}.'
    )
  check_own(workdir / 'drawn')
  for text in texts:
    check_characters('--prompt', text)
  sounds = _sounds(config, texts, audio)
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.prompts.group_size = max(count, 2)  # a group, whatever the method
  mesh = builders.make_mesh(config, devices)
  # The last prompt again and again fills up the mesh.
  padded = [*range(len(texts)), *([len(texts) - 1] * (-len(texts) % mesh.size))]
  if 'decode_chunks' in config.compute:
    config.compute.decode_chunks = _chunks(
      len(padded) // mesh.size * config.prompts.group_size,
      config.compute.decode_chunks,
    )
  run = builders.build(config, mesh)
  try:
    asked = PromptSet(tuple(texts), ('',) * len(texts), audio=sounds)
    prompts = run.encode(asked)(np.array(padded))
  except ValueError as error:
    raise InputError(str(error)) from error
  make_folder(workdir)
  restored = _restored(config, run, workdir)
  params = run.policy(restored or run.init(), run.frozen)
  key = jax.random.fold_in(jax.random.key(config.seed), 0)
  samples = run.draw(params, run.frozen, prompts, key)
  arrays = multihost_utils.process_allgather(
    run.kind.arrays(run.decode(run.frozen, samples)), tiled=True
  )
  if jax.process_index() == 0:
    rows = {k: leaf[: len(texts), :count] for k, leaf in arrays.items()}
    with output_folder(workdir / 'drawn') as folder:
      run.kind.write(epath.Path(folder), asked, rows)
  _say(f'{len(texts) * count} {run.kind.noun} in {workdir / "drawn"}')
  return 0


def _chunks(samples: int, wanted: int) -> int:
  """Returns the fewest chunks, but `wanted` or more, that divide samples.

  Fewer samples than `wanted` are decoded one by one.

  >>> _chunks(6, 4), _chunks(2, 4)
  (6, 2)
  """
  least = min(wanted, samples)
  return next(n for n in range(least, samples + 1) if samples % n == 0)


def _sounds(
  config: ConfigDict, texts: Sequence[str], audio: Sequence[str]
) -> tuple[str, ...] | None:
  """Returns a file of sound for each prompt, None for a model without ears.

  Raises:
    InputError: the model needs sounds and gets none, gets some and needs none,
      or they are neither one nor as many as the prompts.
  """
  hears = builders.family_of(config).keys == 'audio'
  if hears != bool(audio) or len(audio) not in (0, 1, len(texts)):
    needed = f'one --audio=FILE, or {len(texts)}' if hears else 'no --audio'
    raise InputError(
      f'Expected {needed} beside {len(texts)} prompts for a model of the '
      f'family {config.model.family}, got {len(audio)}.'
    )
  if not hears:
    return None
  return tuple(audio) if len(audio) == len(texts) else (audio[0],) * len(texts)


def export(
  config: ConfigDict, workdir: epath.Path, devices: Devices = None
) -> int:
  """Writes a workdir's newest checkpoint as files that others load."""
  check_own(workdir / 'export')
  run = builders.build(config, builders.make_mesh(config, devices))
  restored = _restored(config, run, workdir)
  if restored is None:
    raise InputError(
      f'Expected a run with a checkpoint in {workdir}, found none. Give the '
      '--workdir of a run, and the --config it was made with.'
    )
  make_folder(workdir)
  with output_folder(workdir / 'export') as folder:
    written = run.export(restored, run.frozen, folder)
  if written is not None:
    path = workdir / 'export' / os.fspath(written.relative_to(folder))
    _say(f'Exported: {path}')
  multihost_utils.sync_global_devices('exported')  # All wait for the writer.
  return 0


def pretrain_base(config: ConfigDict, workdir: epath.Path) -> int:
  """Makes a base checkpoint of an embedded world in workdir/base."""
  if in_bucket(workdir):
    raise InputError(
      'Expected a folder on this machine as --workdir of --mode=pretrain, got '
      f'{workdir}. Copy its base to the bucket afterwards.'
    )
  family = builders.family_of(config)
  if family.pretrain is None:
    raise InputError(
      'Expected the family of an embedded world with --mode=pretrain, world or '
      f'text_world, got {config.model.family!r}, which has bases of its own.'
    )
  with locked(workdir):
    check_workdir(config, workdir)
    claim_workdir(config, workdir)
    family.pretrain(config, pathlib.Path(workdir), versions())
  _say(f'Base checkpoint: {workdir / "base"}')
  return 0


def _experience(
  config: ConfigDict, run: builders.Run, workdir: epath.Path
) -> experience.Experience:
  if 'pairs' not in run.method.needs:
    return experience.online(run)
  pairs = config.method.get(config.method.name, {}).get('pairs', '')
  if pairs and not epath.Path(pairs).exists():
    raise InputError(
      f'Expected preference pairs at {pairs}, found no file. Give another '
      f'--config.method.{config.method.name}.pairs, or none to draw pairs from '
      'the base.'
    )
  path = workdir / 'preferences' / 'pairs.safetensors'
  return experience.offline(
    run, epath.Path(pairs) if pairs else path, config.steps, config.seed
  )


def _schedule(config: ConfigDict) -> loop.Schedule:
  return loop.Schedule(
    steps=config.steps,
    seed=config.seed,
    checkpoint_every=config.checkpoint.every,
    keep=config.checkpoint.max_to_keep,
    evaluate_every=config.eval.every,
    invalid_limit=config.reward.invalid_limit,
    tensorboard=config.log.tensorboard,
    profiled=builders.profiled_steps(config),
  )


def _utilization(config: ConfigDict, devices: int) -> Utilization:
  """Makes what says how well a step uses devices, of a known chip alone."""
  peak = PEAK_FLOPS.get(jax.devices()[0].device_kind)
  flops = builders.step_flops(config) if peak else {}
  return utilization(flops, devices, peak) if peak and flops else unknown


def _base_evaluation(config: ConfigDict, run: builders.Run) -> Evaluation:
  """Evaluates the base, or reads its evaluation from the cache.

  The user's own code can change without a trace in the config: with a reward
  of it, the base is evaluated anew.
  """
  cacheable = not config.reward.python
  evaluated = config.eval.to_dict()
  evaluated.pop('every')
  sampler = config.sampler.to_dict()
  sampler.pop('guidance_scale', None)  # That of rollouts in training.
  settings = [evaluated, sampler, config.reward.to_dict()]
  settings += [config.model.to_dict(), config.mesh.to_dict(), device_name()]
  settings += [run.identity, dataclasses.astuple(run.held_out)]
  settings += ['with a checksum and every prompt']  # Older caches have none.
  text = json.dumps(settings, sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()
  path = cache_files.cache_folder() / f'base_{digest[:16]}.npz'
  alone = jax.process_count() == 1
  if cacheable and alone and (cached := cache_files.read(path)) is not None:
    arrays = image_file.unpacked(image_file.npz_arrays(cached))
    figures, by_prompt = arrays.pop('figures'), arrays.pop('by_prompt')
    return Evaluation(json.loads(str(figures)), arrays, by_prompt)
  evaluation = run.evaluate(run.frozen['reference'], run.frozen)
  arrays = image_file.packed(_first_prompts(evaluation))
  if cacheable and jax.process_index() == 0:
    whole = arrays | {
      'figures': np.array(json.dumps(evaluation.figures)),
      'by_prompt': evaluation.by_prompt,
    }
    cache_files.write(path, image_file.npz_bytes(whole))
  return evaluation._replace(samples=image_file.unpacked(arrays))


def _keep_samples(
  run: builders.Run, path: epath.Path, evaluation: Evaluation
) -> None:
  """Writes the samples of the first held-out prompts, which a report shows."""
  arrays = _first_prompts(evaluation)
  if jax.process_index() == 0:
    prompts = run.held_out.take(range(len(arrays['rewards'])))
    run.kind.keep(path, arrays, prompts)


def _first_prompts(evaluation: Evaluation) -> dict[str, np.ndarray]:
  return {k: v[:SHOWN] for k, v in evaluation.samples.items()}


def _summary(
  config: ConfigDict,
  run: builders.Run,
  workdir: epath.Path,
  base: Evaluation,
  final: Evaluation,
) -> dict[str, Any]:
  path = workdir / 'metrics.jsonl'
  lines = read_lines(path)
  check_steps(path, [line['step'] for line in lines], range(config.steps))
  summary = summary_file.make_summary(
    lines,
    base.figures,
    final.figures,
    samples_per_step=math.prod(run.groups),
    method=config.method.name,
    title=run.method.title,
    seed=config.seed,
    steps=config.steps,
    device=device_name(),
  )
  guarded = run.modality == 'flow' and config.method.name == 'adrpo'
  if not guarded or 'success' not in base.figures:
    return summary
  ceiling = summary_file.predicted_ceiling(
    config.method.adrpo.beta0, base.figures
  )
  return summary | {'predicted_ceiling': ceiling}


def _per_prompt(
  run: builders.Run, base: Evaluation, final: Evaluation
) -> dict[str, Any]:
  """Returns what the runs of a comparison are paired by, see `compare`."""
  asked = json.dumps([run.held_out.texts, run.held_out.answers])
  return {
    'measure': 'success' if 'success' in final.figures else 'reward',
    'prompts': hashlib.sha256(asked.encode()).hexdigest(),
    'base': base.by_prompt,
    'final': final.by_prompt,
  }


def _restored(
  config: ConfigDict, run: builders.Run, workdir: epath.Path
) -> TrainState | None:
  check_base(config, workdir, run.identity)
  with Checkpoints(workdir / 'checkpoints') as checkpoints:
    restored = checkpoints.restore(run.abstract)
  return restored.state if restored else None


def _say(text: str) -> None:
  if jax.process_index() == 0:
    print(text, flush=True)
