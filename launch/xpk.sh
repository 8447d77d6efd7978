#!/usr/bin/env bash
# A run as a workload of xpk, on a GKE cluster with TPUs, from this machine.
set -euo pipefail
# shellcheck source=remote.sh
source "$(dirname "${BASH_SOURCE[0]}")/remote.sh"

usage() {
  cat <<'USAGE'
launch/xpk.sh COMMAND --name=NAME --cluster=CLUSTER [options] [-- flags]

  run     start adrpo_jax.main on all hosts, with the flags after --;
          --workdir=gs://... must be among them
                                  --image=IMAGE, made of launch/Dockerfile
          --type=v5litepod-16     --num-slices=1
          --max-restarts=10       so often it starts again by itself
          --grace=300             seconds it has to save a checkpoint when its
                                  node goes away; a spot node gives fewer
          --env=NAME=VALUE, or --env=NAME for what this shell has; again for
          more. Values travel in a file that only you can read, not in a
          command, but stand in the workload, for those who may read it in the
          cluster: launch/gke.sh keeps them in a secret
          --priority=medium  --spot  --reservation=NAME, as xpk has them
  status  the workload in xpk's list
  logs    follow what the first host prints
  stop    take the workload away: the run saves a checkpoint and ends
  resume  the same as run, after a stop: give the same flags again

  --project=ID and --zone=ZONE; by default those of gcloud.
  --dry-run prints the commands and runs none.

  Checkpoints, metrics and samples are in the workdir, what hosts print in Cloud
  Logging. A run whose node goes away saves a checkpoint, starts again by itself
  and goes on from there. Compiled programs are in the bucket of the workdir,
  unless --env=JAX_COMPILATION_CACHE_DIR=... names another place.

  launch/xpk.sh run --name=a --cluster=tpus --image=IMAGE --env=HF_TOKEN -- \
    --config=configs/t2i.py --workdir=gs://my-bucket/first
USAGE
}

xpk_workload() {
  run xpk workload "$1" "--cluster=$cluster" ${where[@]+"${where[@]}"} "${@:2}"
}

# xpk reads NAME=VALUE to the end of the line, and writes "VALUE" into YAML.
check_values() {
  local entry
  for entry in "${variables[@]}"; do
    if [[ ${entry#*=} == *[$'"\\\n']* ]]; then
      fail "Expected a value of one line without quotes and backslashes, which" \
        "xpk can pass on, got another for --env=${entry%%=*}."
    fi
  done
}

# A file of mode 600.
write_variables() {
  variables_file=${TMPDIR:-/tmp}/adrpo_jax_env
  if [[ -z $dry_run ]]; then
    variables_file=$(mktemp "$variables_file.XXXXXX")
    trap 'rm -f "$variables_file"' EXIT # after Ctrl-C too
    printf '%s\n' "${variables[@]}" >"$variables_file"
  fi
}

# xpk puts the command into a script of one line, of bash, in parentheses, and
# sends SIGTERM to the process of these: exec makes that the process of Python.
# It restarts a run that has died by a signal; 75 is one that was stopped.
start() {
  local bucket
  [[ -n $image ]] || fail 'Expected --image=IMAGE, made of launch/Dockerfile.'
  bucket=$(bucket_of ${flags[@]+"${flags[@]}"})
  if ! given JAX_COMPILATION_CACHE_DIR; then
    variables+=("JAX_COMPILATION_CACHE_DIR=$bucket/jax_cache")
  fi
  check_values
  write_variables
  xpk_workload create "--workload=$name" "--tpu-type=$type" \
    "--num-slices=$slices" "--docker-image=$image" \
    "--max-restarts=$restarts" --restart-on-exit-codes=75 \
    "--termination-grace-period-seconds=$grace" \
    "--env-file=$variables_file" ${capacity[@]+"${capacity[@]}"} \
    "--command=exec python -m adrpo_jax.main$(printf ' %q' "${flags[@]}")"
}

logs() {
  local labels="jobset.sigs.k8s.io/jobset-name=$name"
  labels+=,jobset.sigs.k8s.io/job-index=0
  labels+=,batch.kubernetes.io/job-completion-index=0
  run kubectl logs --follow --tail=100 "--selector=$labels"
}

case ${1:-} in
  run | status | logs | stop | resume) command=$1 ;;
  help | -h | --help) usage && exit ;;
  *)
    usage >&2
    fail "Expected a command, got ${1:-none}."
    ;;
esac
shift

name='' cluster='' image='' type=v5litepod-16 slices=1 restarts=10 grace=300
dry_run='' where=() capacity=() variables=() flags=()
while (($#)); do
  case $1 in
    --name=*) name=${1#*=} ;;
    --cluster=*) cluster=${1#*=} ;;
    --image=*) image=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --num-slices=*) slices=${1#*=} ;;
    --max-restarts=*) restarts=${1#*=} ;;
    --grace=*) grace=${1#*=} ;;
    --project=* | --zone=*) where+=("$1") ;;
    --priority=* | --spot | --reservation=*) capacity+=("$1") ;;
    --env=*) add_variable "${1#*=}" ;;
    --dry-run) dry_run=1 ;;
    --)
      flags=("${@:2}")
      break
      ;;
    *) fail "Expected an option of launch/xpk.sh, as --name=VALUE, got $1." \
      "Flags of adrpo_jax.main stand after --; see --help." ;;
  esac
  shift
done
[[ $name =~ ^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$ ]] ||
  fail "Expected --name of at most 40 letters a-z, digits and -, got '$name'."
[[ -n $cluster ]] || fail 'Expected --cluster=CLUSTER, a cluster of GKE.'
need_program xpk 'pip install xpk'

case $command in
  run | resume) start ;;
  status) xpk_workload list "--filter-by-job=$name" ;;
  stop) xpk_workload delete "--workload=$name" ;;
  logs) logs ;;
esac
