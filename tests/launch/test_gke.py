"""launch/gke.sh: its manifest against the schema of JobSet, and its commands.

jobset_schema.json says where it is from. Unknown fields are errors, as for
kubectl.
"""

import json
import math
import pathlib
import shlex

import jsonschema
import launch_scripts
import pytest
import yaml

from adrpo_jax.compile import chips
from adrpo_jax.system.stop_signals import STOPPED

SCHEMA = pathlib.Path(__file__).parent / 'jobset_schema.json'
WHERE = ('--name=first',)
RUN = ('run', *WHERE, '--image=image:1')
FLAGS = ('--', '--workdir=gs://bucket/a')
FAKE = """#!/bin/sh
echo "$@" >>"$CALLS/calls"
case $* in *'-f -'*) cat >"$CALLS/$1" ;; esac
"""


def gke(*arguments, **options):
  return launch_scripts.script('gke.sh', *arguments, **options)


def commands(*arguments):
  return launch_scripts.commands('gke.sh', *arguments, '--dry-run')


def strict(schema):
  """The schema, with no other fields than those it names."""
  parts = dict(schema)
  for key in ('items', 'additionalProperties'):
    if isinstance(parts.get(key), dict):
      parts[key] = strict(parts[key])
  if 'properties' in parts:
    named = {k: strict(v) for k, v in parts['properties'].items()}
    parts |= {'properties': named, 'additionalProperties': False}
  return parts


def validate(jobset):
  schema = json.loads(SCHEMA.read_text())
  texts = {'type': 'object', 'additionalProperties': {'type': 'string'}}
  metadata = {'name': {'type': 'string'}, 'labels': texts, 'annotations': texts}
  schema['properties']['metadata']['properties'] = metadata
  jsonschema.validate(jobset, strict(schema))


def manifest(*options, flags=FLAGS):
  """The JobSet that a dry run prints, which its schema allows."""
  done = gke(*RUN, '--dry-run', *options, *flags)
  assert done.returncode == 0, done.stderr
  jobset = yaml.safe_load(done.stdout)
  validate(jobset)
  return jobset


def parts(jobset):
  """(replicated job, job, pod, container) of a JobSet."""
  (replicated,) = jobset['spec']['replicatedJobs']
  job = replicated['template']['spec']
  pod = job['template']['spec']
  (container,) = pod['containers']
  return replicated, job, pod, container


def test_the_schema_knows_its_fields():
  jobset = manifest()
  jobset['spec']['failurePolicy']['maxRestart'] = 3
  with pytest.raises(jsonschema.ValidationError, match='maxRestart'):
    validate(jobset)
  jobset = manifest()
  parts(jobset)[1]['completions'] = 'four'
  with pytest.raises(jsonschema.ValidationError, match="'four' is not of type"):
    validate(jobset)


def test_a_pod_on_each_host_of_each_slice():
  jobset = manifest('--type=v6e-32', '--num-slices=3')
  replicated, job, pod, container = parts(jobset)
  assert (replicated['replicas'], job['completions']) == (3, 8)
  assert (job['parallelism'], job['completionMode']) == (8, 'Indexed')
  assert container['resources'] == {'limits': {'google.com/tpu': 4}}
  assert pod['nodeSelector'] == {
    'cloud.google.com/gke-tpu-accelerator': 'tpu-v6e-slice',
    'cloud.google.com/gke-tpu-topology': '4x8',
  }
  assert pod['hostNetwork']
  assert pod['dnsPolicy'] == 'ClusterFirstWithHostNet'
  assert jobset['metadata']['annotations'] == {
    'alpha.jobset.sigs.k8s.io/exclusive-topology': (
      'cloud.google.com/gke-nodepool'
    )
  }


def test_what_is_left_out_without_its_option():
  one = manifest()
  assert 'labels' not in one['metadata']
  pod = parts(one)[2]
  assert not {'hostNetwork', 'dnsPolicy', 'serviceAccountName'} & pod.keys()
  assert [t['key'] for t in pod['tolerations']] == ['google.com/tpu']
  options = ('--queue=lab', '--service-account=trainer', '--spot')
  other = manifest(*options)
  assert other['metadata']['labels'] == {'kueue.x-k8s.io/queue-name': 'lab'}
  pod = parts(other)[2]
  assert pod['serviceAccountName'] == 'trainer'
  assert pod['nodeSelector']['cloud.google.com/gke-spot'] == 'true'
  assert len(pod['tolerations']) == 2


def test_a_stopped_run_starts_again_and_errors_are_counted():
  jobset = manifest('--max-restarts=5', '--grace=90')
  _, job, pod, container = parts(jobset)
  policy = jobset['spec']['failurePolicy']
  assert policy['maxRestarts'] == 5
  (rule,) = policy['rules']
  assert rule['action'] == 'RestartJobSetAndIgnoreMaxRestarts'
  assert rule['onJobFailureReasons'] == ['PodFailurePolicy']
  by_status, by_node = job['podFailurePolicy']['rules']
  assert by_status['onExitCodes'] == {
    'containerName': container['name'],
    'operator': 'In',
    'values': [STOPPED],
  }
  assert by_node['onPodConditions'] == [
    {'type': 'DisruptionTarget', 'status': 'True'}
  ]
  assert {by_status['action'], by_node['action']} == {'FailJob'}
  # Kubernetes takes a podFailurePolicy of such pods alone.
  assert (pod['restartPolicy'], job['backoffLimit']) == ('Never', 0)
  assert pod['terminationGracePeriodSeconds'] == 90


def test_flags_stay_whole():
  flags = [
    '--workdir=gs://bucket/a run',
    '--prompt=a "fox\'s" $HOME \\n; `exit` ${hosts} & # {x}: é',
    '--prompt=two\n\tlines',
    '--config.note=',
    '*',
  ]
  container = parts(manifest(flags=['--', *flags]))[3]
  assert container['command'] == ['python', '-m', 'adrpo_jax.main']
  assert container['args'] == flags
  # Kubernetes reads $$( as $(.
  asks = ['--workdir=gs://bucket/a', '--prompt=$(HOME)']
  assert parts(manifest(flags=['--', *asks]))[3]['args'][1] == (
    '--prompt=$$(HOME)'
  )


def test_variables_come_from_a_secret_that_no_command_shows(tmp_path):
  launch_scripts.make_program(tmp_path, 'kubectl', FAKE)
  value = 'hf_"secret"\\ \n two'
  done = gke(
    *(*RUN, '--env=HF_TOKEN', '--env=MODE=a=b', '--namespace=lab', *FLAGS),
    env={
      'PATH': f'{tmp_path}/bin:/usr/bin:/bin',
      'CALLS': str(tmp_path),
      'HF_TOKEN': value,
    },
  )
  assert done.returncode == 0, done.stderr
  calls = (tmp_path / 'calls').read_text()
  assert calls.splitlines() == [
    'apply --server-side --force-conflicts -f - --namespace=lab',
    'create -f - --namespace=lab',
  ]
  jobset = (tmp_path / 'create').read_text()
  assert 'secret"' not in calls + done.stdout + done.stderr + jobset
  secret = yaml.safe_load((tmp_path / 'apply').read_text())
  assert secret == {
    'apiVersion': 'v1',
    'kind': 'Secret',
    'metadata': {'name': 'first-env'},
    'stringData': {'HF_TOKEN': value, 'MODE': 'a=b'},
  }
  cache, *named = parts(yaml.safe_load(jobset))[3]['env']
  assert cache == {
    'name': 'JAX_COMPILATION_CACHE_DIR',
    'value': 'gs://bucket/jax_cache',
  }
  assert named == [
    {
      'name': name,
      'valueFrom': {'secretKeyRef': {'name': 'first-env', 'key': name}},
    }
    for name in ('HF_TOKEN', 'MODE')
  ]


def test_a_dry_run_shows_no_values_and_takes_another_cache():
  options = ('--env=JAX_COMPILATION_CACHE_DIR=gs://other', '--dry-run')
  done = gke(*RUN, *options, *FLAGS)
  assert 'gs://other' not in done.stdout
  (variable,) = parts(yaml.safe_load(done.stdout))[3]['env']
  assert variable['name'] == 'JAX_COMPILATION_CACHE_DIR'
  assert 'valueFrom' in variable


ACCELERATORS = {
  'v4': 'tpu-v4-podslice',
  'v5e': 'tpu-v5-lite-podslice',
  'v5p': 'tpu-v5p-slice',
  'v6e': 'tpu-v6e-slice',
  'tpu7x': 'tpu7x',
}


@pytest.mark.parametrize(
  ('type_', 'hosts'),
  [
    *[('v5litepod-1', 1), ('v5litepod-4', 1), ('v5litepod-8', 2)],
    *[('v5e-16', 4), ('v6e-256', 64), ('v4-8', 1), ('v5p-16', 2)],
    *[('v5p-2048', 256), ('v5e:4x4', 4), ('v5p:4x4x12', 48)],
    *[('tpu7x:2x2x2', 2), ('v6e:1x1', 1)],
  ],
)
def test_a_type_is_the_slice_that_compile_takes_it_for(type_, hosts):
  kind, topology = chips.topology_of(type_).split(':')
  _, job, pod, container = parts(manifest(f'--type={type_}'))
  assert [*pod['nodeSelector'].values()] == [ACCELERATORS[kind], topology]
  count = math.prod(int(side) for side in topology.split('x'))
  assert job['completions'] == hosts
  assert container['resources']['limits']['google.com/tpu'] * hosts == count


def test_all_chips_of_one_larger_host():
  options = ('--type=v6e-8', '--chips-per-host=8')
  _, job, _, container = parts(manifest(*options))
  assert job['completions'] == 1
  assert container['resources']['limits']['google.com/tpu'] == 8


def test_status_logs_stop_and_resume():
  where = (*WHERE, '--context=mine', '--namespace=lab')
  at = ['--context=mine', '--namespace=lab']
  labels = 'jobset.sigs.k8s.io/jobset-name=first'
  assert commands('status', *where) == [
    ['kubectl', 'get', 'jobset', 'first', *at],
    *[['kubectl', 'get', 'pods', f'--selector={labels}', '--output=wide', *at]],
  ]
  worker = f'{labels},jobset.sigs.k8s.io/job-index=1'
  worker += ',batch.kubernetes.io/job-completion-index=3'
  assert commands('logs', *where, '--slice=1', '--worker=3') == [
    shlex.split(f'kubectl logs --follow --tail=100 --selector={worker}') + at
  ]
  stop = [
    shlex.split(f'kubectl delete {what} --ignore-not-found') + at
    for what in ('jobset first --cascade=foreground', 'secret first-env')
  ]
  assert commands('stop', *where) == stop
  done = gke('resume', *where, '--image=i', '--dry-run', *FLAGS)
  lines = [line for line in done.stdout.splitlines() if '+ kubectl' in line]
  assert [shlex.split(line.lstrip('# +')) for line in lines] == [
    *stop,
    ['kubectl', 'create', '-f', '-', *at],
  ]


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    ([], 'Expected a command, got none'),
    (['create', *WHERE], 'Expected a command, got create'),
    (['run', *FLAGS], 'Expected --name of at most 40 letters'),
    (['run', '--name=A_b', *FLAGS], "digits and -, got 'A_b'"),
    (['run', *WHERE, '--dry-run', *FLAGS], 'Expected --image=IMAGE'),
    ([*RUN, '--dry-run', '--type=h100', *FLAGS], 'got --type=h100.'),
    ([*RUN, '--dry-run', '--type=v6e-7', *FLAGS], 'Name the topology'),
    ([*RUN, '--dry-run', '--type=v4:2x', *FLAGS], 'got --type=v4:2x.'),
    ([*RUN, '--dry-run', '--chips-per-host=3', *FLAGS], 'the 16 chips'),
    ([*RUN, '--dry-run', '--num-slices=0', *FLAGS], "at least 1, got '0'"),
    ([*RUN, '--dry-run', '--grace=1m', *FLAGS], "for the grace, got '1m'"),
    (
      [*RUN, '--dry-run', '--type=v6e-4', '--num-slices=2', *FLAGS],
      'Expected --num-slices=1 with --type=v6e-4',
    ),
    ([*RUN, '--config=c.py'], 'got --config=c.py. Flags of adrpo'),
    ([*RUN, '--dry-run', '--', '--workdir=runs/a'], 'got: --workdir=runs/a'),
  ],
)
def test_errors(arguments, expected):
  done = gke(*arguments)
  assert done.returncode == 2
  assert expected in done.stderr
  assert 'kubectl' not in done.stdout


def test_without_kubectl_it_says_so(tmp_path):
  (tmp_path / 'dirname').symlink_to('/usr/bin/dirname')
  done = gke('stop', *WHERE, env={'PATH': str(tmp_path)})
  assert done.returncode == 2
  assert 'Expected kubectl on the PATH' in done.stderr
