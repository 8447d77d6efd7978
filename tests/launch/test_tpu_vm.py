"""launch/tpu_vm.sh: the commands that a dry run prints, and the errors."""

import re
import shlex
import subprocess

import launch_scripts
import pytest

WHERE = ('--name=pod', '--zone=us-west4-a', '--dry-run')


def tpu_vm(*arguments, **options):
  return launch_scripts.script('tpu_vm.sh', *arguments, **options)


def commands(*arguments):
  return launch_scripts.commands('tpu_vm.sh', *arguments)


def on_hosts(gcloud):
  """(gcloud's other arguments, what every host runs)."""
  remote = next(a for a in gcloud if a.startswith('--command='))
  others = [argument for argument in gcloud if argument != remote]
  return others, remote.removeprefix('--command=')


@pytest.mark.parametrize(
  ('type_', 'runtime'),
  [
    ('v4-8', 'tpu-ubuntu2204-base'),
    ('v5litepod-16', 'v2-alpha-tpuv5-lite'),
    ('v5p-8', 'v2-alpha-tpuv5'),
    ('v6e-4', 'v2-alpha-tpuv6e'),
  ],
)
def test_create(type_, runtime):
  assert commands('create', *WHERE, f'--type={type_}') == [
    shlex.split(
      f'gcloud compute tpus tpu-vm create pod --version={runtime} '
      f'--accelerator-type={type_} --zone=us-west4-a'
    )
  ]


def test_a_queued_spot_tpu_is_made_and_deleted_as_such():
  kept = ('--queued', '--spot', '--type=v9-1', '--runtime=new')
  assert commands('create', *WHERE, *kept) == [
    shlex.split(
      'gcloud compute tpus queued-resources create pod --node-id=pod '
      '--runtime-version=new --accelerator-type=v9-1 --spot --zone=us-west4-a'
    )
  ]
  start = 'gcloud compute tpus '
  assert commands('delete', *WHERE, '--queued') == [
    shlex.split(
      f'{start} queued-resources delete pod --force --quiet --zone=us-west4-a'
    )
  ]
  assert commands('delete', *WHERE) == [
    shlex.split(f'{start} tpu-vm delete pod --quiet --zone=us-west4-a')
  ]


def test_install_reaches_all_hosts():
  archive, copy, install = commands('install', *WHERE)
  assert archive[:2] == ['git', '-C']
  assert archive[-1] == 'HEAD'
  assert copy[3:5] == ['tpu-vm', 'scp']
  assert copy[6] == 'pod:adrpo_jax.tar.gz'
  assert copy[5] == archive[-2].removeprefix('--output=')
  assert '--worker=all' in copy
  assert '--worker=all' in install
  _, remote = on_hosts(install)
  assert remote.startswith('set -e; ')
  assert remote.endswith(' --python .venv -e .[tpu]')
  *_, more = commands('install', *WHERE, '--extras=math,wandb')
  assert on_hosts(more)[1].endswith(' -e .[tpu,math,wandb]')


def test_several_slices_are_reached_through_their_place_in_the_queue():
  slices = (*WHERE, '--num-slices=2')
  assert commands('create', *slices, '--spot') == [
    shlex.split(
      'gcloud compute tpus queued-resources create pod --node-count=2 '
      '--node-prefix=pod --runtime-version=v2-alpha-tpuv5-lite '
      '--accelerator-type=v5litepod-8 --spot --zone=us-west4-a'
    )
  ]
  alpha = shlex.split('gcloud alpha compute tpus queued-resources')
  _, copy, install = commands('install', *slices)
  for command, word in ((copy, 'scp'), (install, 'ssh')):
    assert command[:6] == [*alpha, word]
    assert {'--node=all', '--worker=all'} < {*command}
  assert 'queued-resources' in commands('delete', *slices)[0]


def test_a_project_with_hosts_without_addresses():
  access = ['--network=lab', '--subnetwork=a', '--service-account=a@b.c']
  where = (*WHERE, '--project=mine', '--internal-ip')
  (create,) = commands('create', *where, *access)
  assert {*access, '--internal-ips', '--project=mine'} < {*create}
  for command in ('stop', 'logs'):
    assert {'--internal-ip', '--project=mine'} < {*commands(command, *where)[0]}


def test_status_is_that_of_the_tpu_and_of_the_run():
  about, last = commands('status', *WHERE)
  assert about[4:6] == ['describe', 'pod']
  remote = 'tail -n 1 adrpo_jax/run.log || echo No run yet.'
  assert on_hosts(last)[1] == remote


def test_compiled_programs_are_kept_in_the_bucket():
  flags = ('--', '--workdir=gs://bucket/a/run')
  setting = 'export JAX_COMPILATION_CACHE_DIR=gs://bucket/jax_cache; '
  assert setting in on_hosts(commands('run', *WHERE, *flags)[0])[1]
  elsewhere = '--env=JAX_COMPILATION_CACHE_DIR=gs://other/place'
  *_, run = commands('run', *WHERE, elsewhere, *flags)
  assert 'export' not in on_hosts(run)[1]


FAKE = """#!/bin/sh
echo "$@" >>"$CALLS/calls"
for file; do
  case $file in
    */adrpo_jax_env*)
      cp -p "$file" "$CALLS/sent"
      ls -l "$file" >"$CALLS/mode" ;;
  esac
done
[ "$(wc -l <"$CALLS/calls")" -gt "${FAILURES:-0}" ]
"""


@pytest.fixture
def with_gcloud(tmp_path):
  """The environment of a gcloud that notes its calls, and of a short sleep."""
  for name, program in (('gcloud', FAKE), ('sleep', '#!/bin/sh\n')):
    launch_scripts.make_program(tmp_path, name, program)
  path = f'{tmp_path}/bin:/usr/bin:/bin'
  return {'PATH': path, 'CALLS': str(tmp_path), 'TMPDIR': str(tmp_path)}


def test_variables_travel_in_a_file_that_nobody_else_reads(
  with_gcloud, tmp_path
):
  secret = "hf_'$(secret)' two"
  done = tpu_vm(
    *('run', *WHERE[:2], '--env=HF_TOKEN', '--env=MODE=a=b'),
    *('--', '--workdir=gs://bucket/a'),
    env=with_gcloud | {'HF_TOKEN': secret},
  )
  assert done.returncode == 0, done.stderr
  calls = (tmp_path / 'calls').read_text()
  assert 'secret' not in calls + done.stdout + done.stderr
  assert '. ~/.adrpo_jax_env; nohup' in calls
  assert (tmp_path / 'mode').read_text().startswith('-rw-------')
  assert not list(tmp_path.glob('adrpo_jax_env*'))
  read = subprocess.run(
    [
      '/bin/bash',
      '-c',
      '. "$1"; echo "$HF_TOKEN,$MODE"',
      '-',
      tmp_path / 'sent',
    ],
    capture_output=True,
    text=True,
    check=True,
  )
  assert read.stdout == f'{secret},a=b\n'


@pytest.mark.parametrize(('failures', 'status'), [(2, 0), (3, 1)])
def test_a_connection_is_tried_three_times(
  with_gcloud, tmp_path, failures, status
):
  environment = with_gcloud | {'FAILURES': str(failures)}
  done = tpu_vm('install', *WHERE[:2], env=environment)
  assert done.returncode == status
  calls = (tmp_path / 'calls').read_text().splitlines()
  assert sum('scp' in call for call in calls) == 3
  assert sum('ssh' in call for call in calls) == (status == 0)
  assert done.stderr.count('once more in 10 s') == 2


@pytest.mark.parametrize('command', ['run', 'resume'])
def test_run_keeps_flags_whole_through_both_shells(command, tmp_path):
  flags = [
    '--workdir=gs://bucket/a run',
    "--prompt=a fox's $HOME; `exit`",
    '--prompt=two\nlines',
    '--config.note=',
    '*',
  ]
  gcloud, remote = on_hosts(commands(command, *WHERE, '--', *flags)[0])
  assert gcloud == shlex.split(
    'gcloud compute tpus tpu-vm ssh pod --worker=all --zone=us-west4-a'
  )
  # A host's shell runs it; a script that writes its arguments is its Python.
  python = tmp_path / 'adrpo_jax' / '.venv' / 'bin' / 'python'
  python.parent.mkdir(parents=True)
  python.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
  python.chmod(0o755)
  subprocess.run(
    ['/bin/bash', '-c', f'{remote} wait'], cwd=tmp_path, check=True
  )
  log = (tmp_path / 'adrpo_jax' / 'run.log').read_text()
  assert log.removeprefix('nohup: ignoring input\n').split('\0')[:-1] == [
    '-m',
    'adrpo_jax.main',
    *flags,
  ]


def test_a_run_is_stopped_by_the_signal_it_saves_on():
  (gcloud,) = commands('stop', *WHERE)
  others, remote = on_hosts(gcloud)
  assert '--worker=all' in others
  assert remote == "pkill -TERM -f '[a]drpo_jax.main'"
  pattern = re.compile(shlex.split(remote)[-1])
  assert pattern.search('.venv/bin/python -m adrpo_jax.main --config=a.py')
  assert not pattern.search(f'bash -c {remote}')


def test_logs_of_a_host():
  assert commands('logs', *WHERE, '--worker=3') == [
    shlex.split(
      'gcloud compute tpus tpu-vm ssh pod '
      "'--command=tail -n 100 -F adrpo_jax/run.log' --worker=3 "
      '--zone=us-west4-a'
    )
  ]


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    ([], 'Expected a command, got none'),
    (['destroy', *WHERE], 'Expected a command, got destroy'),
    (['create', '--zone=z', '--dry-run'], 'Expected --name=NAME'),
    (['create', '--name=', '--zone=z', '--dry-run'], 'Expected --name=NAME'),
    (['delete', '--name=n', '--dry-run'], 'Expected --zone=ZONE'),
    (['create', *WHERE, '--type=h100'], 'Expected --type=v4-N'),
    (['create', *WHERE, '--num-slices=0'], "of at least 1, got '0'"),
    (['run', *WHERE, '--env=a b=c'], "got a name like 'a b'"),
    (['run', *WHERE, '--env=NOT_SET_ANYWHERE'], 'but it is not set. Export'),
    (['run', *WHERE, '--config=c.py'], 'got --config=c.py. Flags of adrpo'),
    (['run', *WHERE], 'Expected --workdir=gs://'),
    (['run', *WHERE, '--', '--workdir=runs/a'], 'got: --workdir=runs/a'),
    (['run', *WHERE, '--', '--workdir=gs://'], 'got: --workdir=gs://'),
    (['run', *WHERE, '--', '--prompt=x --workdir=gs://b/a'], 'got: --prompt'),
  ],
)
def test_errors(arguments, expected):
  done = tpu_vm(*arguments)
  assert done.returncode == 2
  assert expected in done.stderr
  assert 'gcloud' not in done.stdout


def test_without_gcloud_it_says_so(tmp_path):
  (tmp_path / 'dirname').symlink_to('/usr/bin/dirname')
  done = tpu_vm('delete', *WHERE[:2], env={'PATH': str(tmp_path)})
  assert done.returncode == 2
  assert 'Expected gcloud on the PATH' in done.stderr
