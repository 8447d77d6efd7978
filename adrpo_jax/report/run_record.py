"""Reads the workdir of a run, for reports and comparisons.

Every file may be missing: a run in progress has no summary, and a run that was
stopped early may have no samples. `notes` lists missing and unreadable files
for the readers of a report.
"""

from collections.abc import Callable, Iterable
import dataclasses

from etils import epath
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.report.method_titles import method_title
from adrpo_jax.samples import image_file, text_file
from adrpo_jax.samples.image_file import Samples
from adrpo_jax.samples.text_file import TextSamples
from adrpo_jax.stats.measures import (
  MEASURES,
  Measure,
  Measures,
  goal,
  with_guided,
)
from adrpo_jax.system.records import (
  PER_PROMPT,
  Record,
  lines_of,
  read_config,
  read_per_prompt,
  read_summary,
)

KeptSamples = Samples | TextSamples


@dataclasses.dataclass(frozen=True)
class RunRecord:
  """The contents of a workdir. `summary` is None until the run has finished.

  If the summary has the evaluation of the base, it is the first evaluation, as
  step 0.
  """

  workdir: epath.Path
  config: Record
  metrics: list[Record]
  evaluations: list[Record]
  summary: Record | None
  base_samples: KeptSamples | None
  tuned_samples: KeptSamples | None
  per_prompt: Record | None
  notes: tuple[str, ...]

  @property
  def settings(self) -> Record:
    """The config of the run, without the other entries of config.json."""
    return self.config.get('config', self.config)

  @property
  def modality(self) -> str:
    """'flow' or 'language', as config.json has it.

    Where it is damaged, or of an older version, the kind of the samples tells.
    """
    for modality in MEASURES:
      if self.config.get('modality') == modality:
        return modality
    texts = isinstance(self.base_samples or self.tuned_samples, TextSamples)
    return 'language' if texts else 'flow'

  @property
  def measures(self) -> Measures:
    """The measures of an evaluation of this run."""
    evaluations = (self.base, self.final, *self.evaluations)
    return with_guided(MEASURES[self.modality], *evaluations)

  @property
  def goal(self) -> Measure:
    """The measure that the run is read by: success, or else the reward."""
    return goal(self.measures, self.base, self.final, *self.evaluations)

  @property
  def method(self) -> str:
    """The name of the method in the table of methods, or "run" if unknown."""
    configured = self.settings.get('method', {})
    if isinstance(configured, dict):
      configured = configured.get('name')
    return str((self.summary or {}).get('method') or configured or 'run')

  @property
  def title(self) -> str:
    """The title of the method: as recorded, else that of its table."""
    return str((self.summary or {}).get('title') or method_title(self.method))

  @property
  def base(self) -> Record:
    """The evaluation of the base, from the summary or else from step 0."""
    if self.summary and self.summary.get('base'):
      return self.summary['base']
    return next((e for e in self.evaluations if e['step'] == 0), {})

  @property
  def final(self) -> Record:
    """The evaluation of the tuned model: of the summary, or else the latest."""
    if self.summary and self.summary.get('final'):
      return self.summary['final']
    later = [e for e in self.evaluations if e['step'] > 0]
    return later[-1] if later else {}

  @property
  def steps(self) -> int:
    """The last step with a record."""
    steps = [record['step'] for record in self.metrics + self.evaluations]
    return max([*steps, (self.summary or {}).get('steps', 0)])


def read_lines(path: epath.Path) -> tuple[list[Record], list[str]]:
  """Returns the records of a .jsonl file in order of steps, and notes.

  The later of two records of one step counts. A last line without a line break
  is skipped without a note, because the run may be writing it. Any other
  unreadable line is skipped with a note.
  """
  if not path.exists():
    return [], [f'{path.name} does not exist yet.']
  records: dict[int, Record] = {}
  notes = []
  for number, (_, record) in enumerate(lines_of(path), 1):
    if isinstance(record, ValueError):
      notes.append(f'{path.name}: unreadable line {number} is left out.')
    else:
      records[record['step']] = record
  if not records and not notes:
    notes.append(f'{path.name} is empty.')
  return [records[step] for step in sorted(records)], notes


def series(
  records: Iterable[Record], key: str
) -> tuple[np.ndarray, np.ndarray]:
  """Returns (steps, values) of the finite values of a key in records."""
  pairs = [
    (record['step'], record[key])
    for record in records
    if isinstance(record.get(key), int | float) and np.isfinite(record[key])
  ]
  steps, values = zip(*pairs, strict=True) if pairs else ((), ())
  return np.array(steps, float), np.array(values, float)


def _read_or_note(
  read: Callable[[epath.Path], Record | None], workdir: epath.Path, name: str
) -> tuple[Record | None, list[str]]:
  try:
    return read(workdir), []
  except InputError as error:
    return None, [f'{name} is unreadable and left out: {error}']


def read_samples(path: epath.PathLike) -> KeptSamples:
  """Reads saved samples. The names of the arrays show their kind.

  Raises:
    InputError: the file holds no whole saved samples.
  """

  def of_arrays(arrays: dict[str, np.ndarray]) -> KeptSamples:
    kind = text_file if 'answers' in arrays else image_file
    return kind.of_arrays(arrays)

  return image_file.read_as(path, of_arrays)


def _read_samples(path: epath.Path) -> tuple[KeptSamples | None, list[str]]:
  if not path.exists():
    return None, [f'samples/{path.name} does not exist yet.']
  try:
    return read_samples(path), []
  except InputError as error:
    return None, [f'samples/{path.name} is unreadable and left out: {error}']


def _latest_samples(folder: epath.Path) -> epath.Path:
  """Returns final.npz, or the last step_XXXXXX.npz of an unfinished run."""
  names = [file.name for file in folder.iterdir()] if folder.exists() else []
  stepwise = [name for name in names if name.startswith('step_')]
  if 'final.npz' in names or not stepwise:
    return folder / 'final.npz'
  return folder / max(stepwise)


def _from_the_base_on(
  evaluations: list[Record], base: Record | None
) -> list[Record]:
  """Adds the evaluation of the base as step 0, if it is not yet there.

  A run that takes this evaluation from a cache does not log it.
  """
  if not base or any(record['step'] == 0 for record in evaluations):
    return evaluations
  return [{'step': 0} | base, *evaluations]


def read_run(workdir: epath.PathLike) -> RunRecord:
  """Reads the files that a run has written so far.

  Raises:
    FileNotFoundError: the folder has none of the files of a run.
  """
  workdir = epath.Path(workdir)
  names = ('config.json', 'metrics.jsonl', 'evaluations.jsonl', 'summary.json')
  if not any((workdir / name).exists() for name in names):
    raise FileNotFoundError(
      f'Expected the workdir of a run, with at least one of '
      f'{", ".join(names)}; got {workdir}. Pass the --workdir of the run.'
    )
  config, config_notes = _read_or_note(read_config, workdir, 'config.json')
  metrics, metric_notes = read_lines(workdir / 'metrics.jsonl')
  evaluations, evaluation_notes = read_lines(workdir / 'evaluations.jsonl')
  summary, summary_notes = _read_or_note(read_summary, workdir, 'summary.json')
  evaluations = _from_the_base_on(evaluations, (summary or {}).get('base'))
  scores, score_notes = _read_or_note(read_per_prompt, workdir, PER_PROMPT)
  folder = workdir / 'samples'
  base, base_notes = _read_samples(folder / 'base.npz')
  tuned, tuned_notes = _read_samples(_latest_samples(folder))
  notes = config_notes + metric_notes + evaluation_notes + summary_notes
  return RunRecord(
    workdir,
    config or {},
    metrics,
    evaluations,
    summary,
    base,
    tuned,
    scores,
    tuple(notes + score_notes + base_notes + tuned_notes),
  )
