"""A run's workdir, read back: what reports and comparisons are drawn from.

Every piece may be missing, since a run that is still going has no summary and
one that was stopped early may have no samples. What is missing or unreadable
is said in `notes`, in words meant for the reader of a report.
"""

from collections.abc import Iterable
import dataclasses
import json
from typing import Any

from etils import epath
import numpy as np

from adrpo_jax.samples import image_file, text_file
from adrpo_jax.samples.image_file import Samples
from adrpo_jax.samples.text_file import TextSamples
from adrpo_jax.stats.measures import MEASURES, Measures, modality_of

Record = dict[str, Any]
Kept = Samples | TextSamples


@dataclasses.dataclass(frozen=True)
class RunRecord:
  """A workdir in memory. `summary` is None until the run has finished.

  Evaluations start with the base, as step 0, where the summary knows it.
  """

  workdir: epath.Path
  config: Record
  metrics: list[Record]
  evaluations: list[Record]
  summary: Record | None
  base_samples: Kept | None
  tuned_samples: Kept | None
  notes: tuple[str, ...]

  @property
  def settings(self) -> Record:
    """The config of the run, without what else config.json says of it."""
    return self.config.get('config', self.config)

  @property
  def modality(self) -> str:
    """'flow' or 'language': what stands behind the names of numbers."""
    return modality_of(self.settings)

  @property
  def measures(self) -> Measures:
    """What an evaluation of this run measures."""
    return MEASURES[self.modality]

  @property
  def method(self) -> str:
    """The method's name in the table of methods, or "run" if unrecorded."""
    configured = self.settings.get('method', {})
    if isinstance(configured, dict):
      configured = configured.get('name')
    return str((self.summary or {}).get('method') or configured or 'run')

  @property
  def base(self) -> Record:
    """The base's evaluation: of the summary, or else that of step 0."""
    if self.summary and self.summary.get('base'):
      return self.summary['base']
    return next((e for e in self.evaluations if e['step'] == 0), {})

  @property
  def final(self) -> Record:
    """The tuned model's: of the summary, or else the latest evaluation."""
    if self.summary and self.summary.get('final'):
      return self.summary['final']
    later = [e for e in self.evaluations if e['step'] > 0]
    return later[-1] if later else {}

  @property
  def steps(self) -> int:
    """The last step that left a trace."""
    seen = [record['step'] for record in self.metrics + self.evaluations]
    return max([*seen, (self.summary or {}).get('steps', 0)])


def read_lines(path: epath.Path) -> tuple[list[Record], list[str]]:
  """(records by step, notes) of a .jsonl file; of two for a step, the later.

  A last line without its end is a run caught while writing and is skipped in
  silence; any other unreadable line is skipped and named in the notes.
  """
  if not path.exists():
    return [], [f'{path.name} is not there yet.']
  records: dict[int, Record] = {}
  notes = []
  text = path.read_text(encoding='utf-8')
  lines = text.splitlines()
  for number, line in enumerate(lines, 1):
    if not line.strip():
      continue
    try:
      record = json.loads(line)
      records[int(record['step'])] = record
    except (ValueError, TypeError, KeyError):
      if number < len(lines) or text.endswith('\n'):
        notes.append(f'{path.name}: line {number} is unreadable, left out.')
  if not records and not notes:
    notes.append(f'{path.name} is empty.')
  return [records[step] for step in sorted(records)], notes


def series(
  records: Iterable[Record], key: str
) -> tuple[np.ndarray, np.ndarray]:
  """(steps, values) of the finite values that records hold under a key."""
  pairs = [
    (record['step'], record[key])
    for record in records
    if isinstance(record.get(key), int | float) and np.isfinite(record[key])
  ]
  steps, values = zip(*pairs, strict=True) if pairs else ((), ())
  return np.array(steps, float), np.array(values, float)


def _read_json(path: epath.Path) -> tuple[Record | None, list[str]]:
  if not path.exists():
    return None, []
  try:
    return json.loads(path.read_text(encoding='utf-8')), []
  except ValueError:
    return None, [f'{path.name} is unreadable, left out.']


def read_kept(path: epath.PathLike) -> Kept:
  """Reads kept samples of either kind: their arrays tell which.

  Raises:
    LookupError, ValueError, OSError: not a file of kept samples.
  """
  arrays = image_file.read_arrays(path)
  kind = text_file if 'answers' in arrays else image_file
  return kind.of_arrays(arrays)


def _read_samples(path: epath.Path) -> tuple[Kept | None, list[str]]:
  if not path.exists():
    return None, [f'samples/{path.name} is not there yet.']
  try:
    return read_kept(path), []
  except (LookupError, ValueError, OSError) as error:
    return None, [f'samples/{path.name} is unreadable, left out: {error}']


def _latest_samples(folder: epath.Path) -> epath.Path:
  """final.npz, or of an unfinished run the last step_XXXXXX.npz."""
  names = [file.name for file in folder.iterdir()] if folder.exists() else []
  stepwise = [name for name in names if name.startswith('step_')]
  if 'final.npz' in names or not stepwise:
    return folder / 'final.npz'
  return folder / max(stepwise)


def _from_the_base_on(
  evaluations: list[Record], base: Record | None
) -> list[Record]:
  """Evaluations with that of the base as step 0, which is cached elsewhere."""
  if not base or any(record['step'] == 0 for record in evaluations):
    return evaluations
  return [{'step': 0} | base, *evaluations]


def read_run(workdir: epath.PathLike) -> RunRecord:
  """Reads what a run has written so far.

  Raises:
    FileNotFoundError: the folder holds none of the files of a run.
  """
  workdir = epath.Path(workdir)
  names = ('config.json', 'metrics.jsonl', 'evaluations.jsonl', 'summary.json')
  if not any((workdir / name).exists() for name in names):
    raise FileNotFoundError(
      f'Expected the workdir of a run, with at least one of '
      f'{", ".join(names)}; got {workdir}. Pass the folder given to --workdir.'
    )
  config, config_notes = _read_json(workdir / 'config.json')
  metrics, metric_notes = read_lines(workdir / 'metrics.jsonl')
  evaluations, evaluation_notes = read_lines(workdir / 'evaluations.jsonl')
  summary, summary_notes = _read_json(workdir / 'summary.json')
  evaluations = _from_the_base_on(evaluations, (summary or {}).get('base'))
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
    tuple(notes + base_notes + tuned_notes),
  )
