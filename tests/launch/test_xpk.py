"""launch/xpk.sh: the commands that a dry run prints, and the errors."""

import shlex
import subprocess

import launch_scripts
import pytest

WHERE = ('--name=first', '--cluster=tpus')
RUN = ('run', *WHERE, '--image=image:1')
FLAGS = ('--', '--workdir=gs://bucket/a')
FAKE = """#!/bin/sh
printf '%s\\n' "$@" >"$CALLS/call"
for word; do
  case $word in
    --env-file=*)
      cp -p "${word#*=}" "$CALLS/sent"
      ls -l "${word#*=}" >"$CALLS/mode" ;;
  esac
done
"""


def xpk(*arguments, **options):
  return launch_scripts.script('xpk.sh', *arguments, **options)


def commands(*arguments):
  return launch_scripts.commands('xpk.sh', *arguments, '--dry-run')


def option(command, name):
  (value,) = (w for w in command if w.startswith(f'--{name}='))
  return value.split('=', 1)[1]


def test_a_run_is_a_workload_that_goes_on_after_a_stop():
  done = xpk(
    *('run', *WHERE, '--image=image:1', '--type=v6e-16', '--num-slices=2'),
    *('--project=mine', '--zone=us-west4-a', '--spot', '--dry-run', *FLAGS),
    env={'TMPDIR': '/folder', 'PATH': '/usr/bin:/bin'},
  )
  assert shlex.split(done.stdout) == [
    *shlex.split('+ xpk workload create --cluster=tpus --project=mine'),
    *('--zone=us-west4-a', '--workload=first', '--tpu-type=v6e-16'),
    *('--num-slices=2', '--docker-image=image:1', '--max-restarts=10'),
    *('--restart-on-exit-codes=75', '--termination-grace-period-seconds=300'),
    *('--env-file=/folder/adrpo_jax_env', '--spot'),
    '--command=exec python -m adrpo_jax.main --workdir=gs://bucket/a',
  ]


def test_flags_stay_whole_in_the_script_that_xpk_writes(tmp_path):
  flags = [
    '--workdir=gs://bucket/a run',
    "--prompt=a fox's $HOME; `exit` {x}",
    '--prompt=two\nlines: #2',
    '--config.note=',
    '*',
  ]
  done = xpk(*RUN, '--dry-run', '--', *flags)
  command = option(shlex.split(done.stdout), 'command')
  assert '\n' not in command  # It becomes one line of YAML.
  launch_scripts.make_program(
    tmp_path, 'python', '#!/bin/sh\nprintf "%s\\0" "$@"\n'
  )
  ran = subprocess.run(  # as in the container that xpk makes
    ['/bin/bash', '-c', f'({command}) & wait $!'],
    env={'PATH': f'{tmp_path}/bin:/usr/bin:/bin', 'HOME': 'elsewhere'},
    capture_output=True,
    text=True,
    check=True,
  )
  assert ran.stdout.split('\0')[:-1] == ['-m', 'adrpo_jax.main', *flags]


@pytest.fixture
def with_xpk(tmp_path):
  """The environment of an xpk that notes its call."""
  launch_scripts.make_program(tmp_path, 'xpk', FAKE)
  path = f'{tmp_path}/bin:/usr/bin:/bin'
  return {'PATH': path, 'CALLS': str(tmp_path), 'TMPDIR': str(tmp_path)}


def test_variables_travel_in_a_file_that_nobody_else_reads(with_xpk, tmp_path):
  done = xpk(
    *(*RUN, '--env=HF_TOKEN', '--env=MODE=a = b', *FLAGS),
    env=with_xpk | {'HF_TOKEN': 'hf_secret'},
  )
  assert done.returncode == 0, done.stderr
  assert 'secret' not in (tmp_path / 'call').read_text() + done.stdout
  assert (tmp_path / 'mode').read_text().startswith('-rw-------')
  assert (tmp_path / 'sent').read_text().splitlines() == [
    'HF_TOKEN=hf_secret',
    'MODE=a = b',
    'JAX_COMPILATION_CACHE_DIR=gs://bucket/jax_cache',
  ]
  assert not list(tmp_path.glob('adrpo_jax_env*'))


def test_another_place_for_compiled_programs(with_xpk, tmp_path):
  place = 'JAX_COMPILATION_CACHE_DIR=gs://other/place'
  assert xpk(*RUN, f'--env={place}', *FLAGS, env=with_xpk).returncode == 0
  assert (tmp_path / 'sent').read_text() == f'{place}\n'


def test_status_logs_and_stop():
  assert commands('status', *WHERE) == [
    shlex.split('xpk workload list --cluster=tpus --filter-by-job=first')
  ]
  assert commands('stop', *WHERE, '--zone=z') == [
    shlex.split('xpk workload delete --cluster=tpus --zone=z --workload=first')
  ]
  (logs,) = commands('logs', *WHERE)
  assert logs[:3] == ['kubectl', 'logs', '--follow']
  assert option(logs, 'selector').split(',') == [
    'jobset.sigs.k8s.io/jobset-name=first',
    'jobset.sigs.k8s.io/job-index=0',
    'batch.kubernetes.io/job-completion-index=0',
  ]


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    ([], 'Expected a command, got none'),
    (['create', *WHERE], 'Expected a command, got create'),
    (['run', '--cluster=c', *FLAGS], 'Expected --name of at most 40 letters'),
    (['run', '--name=A_b', *FLAGS], "digits and -, got 'A_b'"),
    (['run', f'--name={"a" * 41}', *FLAGS], 'Expected --name of at most 40'),
    (['run', '--name=a', *FLAGS], 'Expected --cluster=CLUSTER'),
    (['run', *WHERE, '--dry-run', *FLAGS], 'Expected --image=IMAGE'),
    ([*RUN, '--dry-run'], 'got: no flags'),
    ([*RUN, '--config=c.py'], 'got --config=c.py. Flags of adrpo'),
    ([*RUN, '--dry-run', '--env=A=a"b', *FLAGS], 'another for --env=A.'),
    ([*RUN, '--dry-run', '--env=A=a\nb', *FLAGS], 'another for --env=A.'),
    ([*RUN, '--dry-run', '--', '--workdir=runs/a'], 'got: --workdir=runs/a'),
  ],
)
def test_errors(arguments, expected):
  done = xpk(*arguments)
  assert done.returncode == 2
  assert expected in done.stderr
  assert 'xpk workload' not in done.stdout


def test_without_xpk_it_says_so(tmp_path):
  (tmp_path / 'dirname').symlink_to('/usr/bin/dirname')
  done = xpk('stop', *WHERE, env={'PATH': str(tmp_path)})
  assert done.returncode == 2
  assert 'Expected xpk on the PATH' in done.stderr
  assert 'pip install xpk' in done.stderr
