"""A mirror of a run in Weights & Biases: numbers, samples and the config.

Modes and accounts are W&B's own: WANDB_MODE=offline writes below the workdir,
for `wandb sync`; WANDB_ENTITY, WANDB_NAME, WANDB_RUN_GROUP, WANDB_TAGS and the
other variables of the package work as its pages say.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import json
import os
import tempfile
from typing import Any, NamedTuple

from etils import epath
import jax
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.system.files import in_bucket, replacing

RUN_FILE = 'wandb.json'  # in the workdir: the id and the project of its run
Media = Callable[[], Mapping[str, Any]]


class Mirror(NamedTuple):
  """Where a run shows its numbers and samples, beside its workdir.

  metrics:    (step, the line of metrics.jsonl) -> None
  evaluation: (step, figures, samples) -> None; samples is a function without
              arguments that gives what W&B logs of them, by name
  """

  metrics: Callable[[int, Mapping[str, Any]], None]
  evaluation: Callable[[int, Mapping[str, Any], Media], None]


NO_MIRROR = Mirror(lambda step, line: None, lambda step, figures, samples: None)


def check(project: str) -> None:
  """Checks that W&B can be written to, before anything is built.

  Raises:
    InputError: the package is missing, or nobody is logged in.
  """
  if not project or jax.process_index() != 0:
    return
  wandb = _package()
  if wandb.setup().settings.mode in ('offline', 'disabled'):
    return
  try:
    wandb.login()
  except wandb.Error as error:
    raise _refused(error) from error


@contextlib.contextmanager
def mirrored(
  project: str, workdir: epath.Path, config: Mapping[str, Any]
) -> Iterator[Mirror]:
  """Opens the mirror of a run, on process 0; no project means no mirror.

  A workdir keeps the id of its W&B run, which a resumed run goes on with. Steps
  that the W&B run has seen already are the same numbers again: W&B drops them.

  Raises:
    InputError: W&B cannot be reached, or the workdir's run is in another
      project.
  """
  if not project or jax.process_index() != 0:
    yield NO_MIRROR
    return
  with _opened(project, workdir, config) as run:

    def metrics(step: int, line: Mapping[str, Any]) -> None:
      run.log(loggable(line), step=step)

    def evaluation(
      step: int, figures: Mapping[str, Any], samples: Media
    ) -> None:
      numbers = {f'eval/{k}': v for k, v in loggable(figures).items()}
      run.log({**numbers, **samples()}, step=step)

    yield Mirror(metrics, evaluation)


def loggable(record: Mapping[str, Any]) -> dict[str, Any]:
  """Numbers and histograms of a record; nested names are joined by '/'.

  Lists, text and null stay in metrics.jsonl alone. A histogram is a name with
  'counts' [K] and 'edges' [K + 1].
  """
  wandb = _package()
  logged: dict[str, Any] = {}
  for name, value in record.items():
    if isinstance(value, Mapping) and set(value) == {'counts', 'edges'}:
      pair = np.asarray(value['counts']), np.asarray(value['edges'])
      logged[name] = wandb.Histogram(np_histogram=pair)
    elif isinstance(value, Mapping):
      logged |= {f'{name}/{k}': v for k, v in loggable(value).items()}
    elif isinstance(value, int | float) and name != 'step':
      logged[name] = value
  return logged


def _opened(
  project: str, workdir: epath.Path, config: Mapping[str, Any]
) -> Any:
  """A new W&B run, or the one that the workdir has."""
  wandb = _package()
  path = workdir / RUN_FILE
  stored = _stored(path)
  if stored and stored['project'] != project:
    raise InputError(
      f'Expected --config.log.wandb.project={stored["project"]}, where the W&B '
      f'run of {workdir} is, got {project}. Remove {path} to begin another.'
    )
  folder = tempfile.gettempdir() if in_bucket(workdir) else os.fspath(workdir)
  try:
    run = wandb.init(
      project=project,
      id=stored.get('id'),
      resume='allow',
      name=os.environ.get('WANDB_NAME') or '/'.join(workdir.parts[-2:]),
      dir=folder,
      config=dict(config),
      allow_val_change=True,
    )
  except wandb.Error as error:
    raise _refused(error) from error
  if not run.disabled:
    with replacing(path) as new:
      new.write_text(json.dumps({'project': project, 'id': run.id}))
  return run


def _stored(path: epath.Path) -> dict[str, str]:
  """Reads the project and the id of the W&B run of a workdir, {} without."""
  if not path.exists():
    return {}
  try:
    stored = json.loads(path.read_text())
    return {'project': str(stored['project']), 'id': str(stored['id'])}
  except (ValueError, LookupError, TypeError, OSError) as error:
    raise InputError(
      f'Expected the project and the id of a W&B run in {path}, which is cut '
      f'short or damaged ({error}). Remove it to begin another W&B run.'
    ) from error


def _package() -> Any:
  """The module, imported where it is used: it is no dependency."""
  try:
    import wandb
  except ImportError as error:
    raise InputError(
      'Expected wandb beside --config.log.wandb.project, but it is not '
      "installed. Run `pip install 'adrpo-jax[wandb]'`, or leave the project "
      'empty.'
    ) from error
  return wandb


def _refused(error: Exception) -> InputError:
  return InputError(
    f'Expected that Weights & Biases takes the run, got: {error} Log in by '
    '`wandb login` or WANDB_API_KEY, or set WANDB_MODE=offline and '
    '`wandb sync` the run later.'
  )
