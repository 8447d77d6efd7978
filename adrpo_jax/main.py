"""The command line: python -m adrpo_jax.main --config=configs/t2i.py[:preset].

configs/t2i.py is for image models, configs/llm.py for language models, and
configs/pretrain.py for the base checkpoints of the embedded worlds.

--mode=train     fine-tune the base, evaluate, report (the default)
--mode=eval      evaluate the latest checkpoint of a workdir, or the base; with
                 --images=DIR --prompts=FILE score images of any origin, with
                 --answers=FILE --benchmark=mmau answers to its questions
--mode=sample    generate images or completions for --prompt="..."
--mode=export    write the adapters or weights of a run in the format of
                 diffusers, or of peft and transformers
--mode=pretrain  make a base checkpoint of an embedded world, with
                 --config=configs/pretrain.py:WORLD

On several hosts, run the same command on each host, with a --workdir that all
of them can read and write. The hosts of a TPU pod find each other. Other hosts
need JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.
"""

from collections.abc import Iterator, Sequence
import contextlib
import os
import re
import sys
import time

from absl import flags
from etils import epath
from flax.traverse_util import flatten_dict
import jax
from ml_collections import ConfigDict, config_flags

from adrpo_jax.errors import InputError, RunError, unknown_name
from adrpo_jax.rewards.protocol import RewardError
from adrpo_jax.rewards.remote.config_secrets import check_no_secrets
from adrpo_jax.system import (
  cache_files,
  config_files,
  config_keys,
  joining,
  libtpu_flags,
  local_paths,
  run_folder,
  user_code,
)
from adrpo_jax.system.files import in_bucket
from adrpo_jax.system.going_on import (
  full_disk_said_once,
  go_on,
  last_words,
  lost_process,
)
from adrpo_jax.system.peers import of_lost_peer, watched_peers
from adrpo_jax.system.steady_output import steady_output
from adrpo_jax.system.stop_signals import end_at_once, stop_signals

MODES = ('train', 'eval', 'sample', 'export', 'pretrain')

_DEFAULT = 'configs/t2i.py'
_CONFIG = config_flags.DEFINE_config_file(
  'config', None, f'FILE[:preset], {_DEFAULT} by default.'
)
_WORKDIR = flags.DEFINE_string(
  'workdir',
  '',
  'The folder of a run. A run with the same folder resumes. It may be in a '
  'bucket: gs://BUCKET/FOLDER. Default: a dated folder under runs/.',
)
_MODE = flags.DEFINE_enum('mode', 'train', MODES, 'What to do.')
_PROMPT = flags.DEFINE_multi_string(
  'prompt', [], 'A prompt for --mode=sample; may be repeated.'
)
_AUDIO = flags.DEFINE_multi_string(
  'audio',
  [],
  'A file of sound for --prompt, to a model that hears: one for each prompt, '
  'or one for all.',
)
_IMAGES = flags.DEFINE_string(
  'images', '', 'Images for --mode=eval to judge, named 00012_03.png.'
)
_PROMPTS = flags.DEFINE_string(
  'prompts', '', 'The file with the prompts of --images.'
)
_ANSWERS = flags.DEFINE_multi_string(
  'answers',
  [],
  'Answers for --mode=eval to score: the file of a benchmark, with the answer '
  'of a model beside each question. `adrpo_jax.compare` takes two, one of each '
  'model, with commas between the files of its seeds.',
)
_BENCHMARK = flags.DEFINE_string(
  'benchmark', '', 'The benchmark of --answers: mmau or mmar.'
)
_ITEMS = flags.DEFINE_integer(
  'items',
  0,
  'The number of questions in --answers; by default all of the benchmark.',
  lower_bound=0,
)
_COUNT = flags.DEFINE_integer('count', 8, 'Samples of each --prompt.')
PROMPTS_PER_CHIP = flags.DEFINE_integer(
  'prompts_per_chip',
  0,
  'Sets prompts.prompts_per_step to so many for each chip that shares a batch; '
  '0 keeps its value.',
  lower_bound=0,
)
EVAL_PROMPTS_PER_CHIP = flags.DEFINE_integer(
  'eval_prompts_per_chip',
  0,
  'Sets eval.batch_size alike; 0 keeps its value. With --prompts_per_chip '
  'alone it is raised to the next multiple of the chips.',
  lower_bound=0,
)


@steady_output()
def main(
  argv: Sequence[str], devices: Sequence[jax.Device] | None = None
) -> int:
  """Runs a command line and returns the exit status; errors have one line.

  The status is 0 for a finished run, 2 after an error, and 75 for a run that
  was stopped and can go on.
  """
  if {'--help', '-help', '-h'} & set(argv[1:]):
    print(usage())
    return 0
  known: list[epath.Path] = []  # the workdir, as soon as it has been chosen
  with (
    stop_signals(lambda _: end_at_once(f'Stopped. {go_on(*known)}')),
    full_disk_said_once(),
  ):
    try:
      config = parse(argv)
      _check_mode(config)
      choose_method(config)
      _start_jax()
      with _workdir(config) as workdir:
        known.append(workdir)
        with watched_peers(lambda p: end_at_once(lost_process(p, workdir))):
          return _run(config, workdir, devices)
    except Exception as error:
      print(f'error: {_message(error, *known)}', file=sys.stderr)
      return 2


def _message(error: Exception, workdir: epath.Path | None = None) -> str:
  """Returns the line for an error; raises it again where there is none.

  The loss of another process ends this one.
  """
  if isinstance(error, (InputError, RewardError, RunError)):
    return str(error)
  if message := last_words(error, workdir):
    return message
  if of_lost_peer(error):
    end_at_once(f'{error}\n{lost_process(None, workdir)}')
  raise error


def usage() -> str:
  """Returns the text of --help: modes, flags, methods and rewards."""
  from adrpo_jax.method import language_methods, methods
  from adrpo_jax.rewards.image_table import REWARDS
  from adrpo_jax.rewards.table import descriptions
  from adrpo_jax.rewards.text_table import TEXT_REWARDS

  own = flags.FLAGS.find_module_defining_flag('workdir')
  parts = [
    f'{__doc__}\nFlags, and --config.KEY=VALUE for each key of the config:',
    flags.FLAGS.module_help(own).partition(':\n')[2].rstrip(),
  ]
  for kind, names, rewards in (
    ('images', methods.METHODS, REWARDS),
    ('texts', language_methods.LANGUAGE_METHODS, TEXT_REWARDS),
  ):
    parts += [
      f'\nMethods for {kind}, --config.method.name=NAME:',
      f'  {", ".join(names)}',
      f'\nRewards of {kind}, --config.reward.weights.NAME=WEIGHT:',
      descriptions(rewards),
    ]
  parts.append(
    '\nYour own functions, --config.method.python=FILE.py:NAME and\n'
    '--config.reward.python=FILE.py:NAME, or MODULE:NAME.'
  )
  return '\n'.join(parts)


def parse(argv: Sequence[str]) -> ConfigDict:
  """Returns the config of a command line.

  Raises:
    InputError: no such file or preset, an unknown flag or key (the nearest
      known one is named), an old name of either, or a value that its key does
      not take.
  """
  words = with_config(argv)
  config_files.make_importable()
  begun = config_files.load(words[1].removeprefix('--config='))
  try:
    rest = flags.FLAGS(words)[1:]
  except (AttributeError, KeyError) as error:
    raise InputError(_unknown_key(words, begun, error)) from error
  except (flags.Error, OSError, TypeError, ValueError) as error:
    raise InputError(_wrong_value(words, begun, error)) from error
  if rest:
    raise InputError(
      f'Expected flags, --NAME=VALUE, got {" ".join(rest)!r}. A key of the '
      'config is set by --config.KEY=VALUE.'
    )
  # Imported late: a mistyped key answers at once.
  from adrpo_jax.builders import config_checks

  config = _CONFIG.value
  keys = flatten_dict(config.to_dict(), sep='.')
  config_keys.check_names(keys)
  check_no_secrets(keys)
  config_checks.check_config(config)
  local_paths.make_absolute(config)
  return config


def with_config(argv: Sequence[str]) -> list[str]:
  """Returns the words with --config=FILE[:preset], of a file that exists."""
  words, path = [], _DEFAULT
  arguments = iter(argv)
  for word in arguments:
    if matched := re.fullmatch(r'--?config(?:=(.*))?', word):
      path = matched[1] if matched[1] is not None else next(arguments, '')
    else:
      words.append(word)
  return [words[0], f'--config={config_files.resolved(path)}', *words[1:]]


def choose_method(config: ConfigDict) -> None:
  """Takes the method of `method.python`, unless the command line names one.

  A config of pre-training has no method, and is left as it is.

  Raises:
    InputError: several functions, of which none is named.
  """
  if 'method' not in config:
    return
  calls = user_code.read_calls(config.method.python, 'method.python')
  changes = config_flags.get_override_values(flags.FLAGS['config'])
  if not calls or 'method.name' in changes:
    return
  if len(calls) > 1:
    raise InputError(
      'Expected --config.method.name=NAME beside several functions in '
      f'--config.method.python, got {", ".join(call.name for call in calls)}.'
    )
  config.method.name = calls[0].name


def _one_line(error: BaseException) -> str:
  """Returns the message of an InputError in the chain, else the first line."""
  message = str(error).splitlines()[0]
  cause: BaseException | None = error
  while cause is not None:  # The flag parser wraps it, more than once.
    message = str(cause) if isinstance(cause, InputError) else message
    cause = cause.__cause__ or cause.__context__
  return message


def _unknown_key(
  words: Sequence[str], config: ConfigDict, error: Exception
) -> str:
  """Returns the message for a --config.KEY that is not in the config."""
  keys = flatten_dict(config.to_dict(), sep='.')
  for argument in words[1:]:
    key = argument.removeprefix('--config.').split('=')[0]
    if argument.startswith('--config.') and key not in keys:
      return (
        config_keys.moved(key, config)
        or config_keys.renamed(key)
        or str(unknown_name(key, keys, 'config key'))
      )
  return str(error)


def _wrong_value(
  words: Sequence[str], config: ConfigDict, error: Exception
) -> str:
  """Returns the message for a --config.KEY=VALUE that is of another type."""
  from adrpo_jax.builders import config_checks

  message = _one_line(error)
  for word in words:
    matched = re.fullmatch(r'--?config\.([^=]+)=(.*)', word, re.DOTALL)
    key, text = matched.groups() if matched else ('', '')
    if key and message.startswith(f'flag --config.{key}={text}:'):
      try:
        config_checks.check_text(config, key, text)
      except InputError as refusal:
        return str(refusal)
  return message


def _start_jax() -> None:
  """Joins the other processes, if any, and sets the compilation cache."""
  libtpu_flags.set_flags()
  joining.join()
  cache = os.environ.get('JAX_COMPILATION_CACHE_DIR') or str(
    cache_files.cache_folder() / 'compiled'
  )
  jax.config.update('jax_compilation_cache_dir', cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)


def _check_mode(config: ConfigDict) -> None:
  """Checks that --mode=pretrain has a config of pre-training, others not."""
  if ('pretrain' in config) != (_MODE.value == 'pretrain'):
    kind = 'pre-training' if 'pretrain' in config else 'fine-tuning'
    raise InputError(
      'Expected --config=configs/pretrain.py:WORLD with --mode=pretrain alone, '
      f'got --mode={_MODE.value} with a config of {kind}.'
    )


@contextlib.contextmanager
def _workdir(config: ConfigDict) -> Iterator[epath.Path]:
  """Yields the folder of the run, by default a new one named by the time."""
  if in_bucket(_WORKDIR.value):
    yield _in_a_bucket(_WORKDIR.value)
    return
  if _WORKDIR.value:
    yield epath.Path(local_paths.expanded(_WORKDIR.value))
    return
  if jax.process_count() > 1:
    raise InputError(
      f'Expected --workdir=DIR, a folder that all {jax.process_count()} '
      'processes see, got none.'
    )
  stamp = time.strftime('%Y-%m-%d_%H-%M-%S')
  pretraining = _MODE.value == 'pretrain'
  what = config.world if pretraining else config.method.name
  folder = epath.Path('runs') / f'{stamp}_{what}'
  writes = _IMAGES.value or _ANSWERS.value
  if _MODE.value == 'eval' and not writes:
    yield folder
    return
  with run_folder.new_folder(folder) as made:
    yield made


def _in_a_bucket(folder: str) -> epath.Path:
  """Returns a folder in a bucket, checked to be readable."""
  if not re.fullmatch(r'gs://[^/]+/.+', folder):
    raise InputError(
      'Expected a --workdir on this machine or in a bucket of Google Cloud '
      f'Storage, gs://BUCKET/FOLDER, got {folder}.'
    )
  workdir = epath.Path(folder)
  try:
    workdir.exists()
  except ImportError as error:
    raise InputError(
      f'Expected gcsfs beside a --workdir in a bucket, {folder}, but it is not '
      'installed. Run `pip install gcsfs`.'
    ) from error
  except Exception as error:  # The clients of buckets raise kinds of their own.
    raise InputError(
      f'Expected a bucket that this machine may read, got {folder}: {error}. '
      'Run `gcloud auth application-default login`, or check the rights of '
      "the machine's service account."
    ) from error
  return workdir


def _run(
  config: ConfigDict,
  workdir: epath.Path,
  devices: Sequence[jax.Device] | None,
) -> int:
  # Imported late: a mistyped key answers at once.
  from adrpo_jax import builders, commands
  from adrpo_jax.builders.batch_sizes import fit_to_chips
  from adrpo_jax.builders.trained_config import of_trained_weights

  if _ANSWERS.value or _BENCHMARK.value:
    return _score_answers(workdir)
  judges_images = _IMAGES.value or _PROMPTS.value
  if _MODE.value in ('eval', 'sample', 'export') and not judges_images:
    named = config_flags.get_override_values(flags.FLAGS['config'])
    config = of_trained_weights(config, workdir, named)
  if _MODE.value == 'pretrain':
    return commands.pretrain_base(config, workdir)
  per_chip = PROMPTS_PER_CHIP.value, EVAL_PROMPTS_PER_CHIP.value
  if any(per_chip):
    # The mesh that is made of it later says how it was chosen.
    mesh = builders.make_mesh(config, devices, report=lambda line: None)
    fit_to_chips(config, mesh.shape, *per_chip)
  if _MODE.value == 'sample':
    return commands.sample(
      config,
      workdir,
      _PROMPT.value,
      _COUNT.value,
      devices,
      [local_paths.expanded(path) for path in _AUDIO.value],
    )
  if _MODE.value == 'export':
    return commands.export(config, workdir, devices)
  if judges_images:
    if _MODE.value != 'eval' or not (_IMAGES.value and _PROMPTS.value):
      raise InputError(
        'Expected --images=DIR and --prompts=FILE with --mode=eval, got '
        f'--mode={_MODE.value} --images={_IMAGES.value} '
        f'--prompts={_PROMPTS.value}.'
      )
    return commands.judge(
      config,
      workdir,
      local_paths.expanded(_IMAGES.value),
      local_paths.expanded(_PROMPTS.value),
      devices,
    )
  if _MODE.value == 'eval':
    return commands.evaluate_only(config, workdir, devices)
  return commands.train(config, workdir, devices)


def _score_answers(workdir: epath.Path) -> int:
  from adrpo_jax import commands

  named = len(_ANSWERS.value) == 1 and _BENCHMARK.value
  if _MODE.value != 'eval' or not named:
    raise InputError(
      'Expected --answers=FILE and --benchmark=mmau or mmar with --mode=eval, '
      f'got --mode={_MODE.value}, {len(_ANSWERS.value)} files of answers and '
      f'--benchmark={_BENCHMARK.value}. Two files are compared by '
      'python -m adrpo_jax.compare.'
    )
  return commands.score_answers(
    workdir,
    local_paths.expanded(_ANSWERS.value[0]),
    _BENCHMARK.value,
    _ITEMS.value,
  )


if __name__ == '__main__':
  sys.exit(main(sys.argv))
