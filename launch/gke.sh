#!/usr/bin/env bash
# A run as a JobSet on a GKE cluster with TPUs, from this machine.
set -euo pipefail
# shellcheck source=remote.sh
source "$(dirname "${BASH_SOURCE[0]}")/remote.sh"
# shellcheck source=gke_jobset.sh
source "$(dirname "${BASH_SOURCE[0]}")/gke_jobset.sh"

usage() {
  cat <<'USAGE'
launch/gke.sh COMMAND --name=NAME [options] [-- flags]

  run     start adrpo_jax.main on all hosts, with the flags after --;
          --workdir=gs://... must be among them
                                  --image=IMAGE, made of launch/Dockerfile
          --type=v5litepod-16, or a topology, v5e:4x4     --num-slices=1
          --chips-per-host=4, the chips of a machine of the node pool
          --max-restarts=3        so often it starts again after an error;
                                  after a stop of its node, always
          --grace=300             seconds it has to save a checkpoint when its
                                  node goes away; a spot node gives fewer
          --env=NAME=VALUE, or --env=NAME for what this shell has; again for
          more. Values are kept in a secret of the cluster, NAME-env
          --service-account=NAME, of Kubernetes, that may use the bucket
          --queue=NAME, a local queue of Kueue  --spot
  status  the JobSet and its pods
  logs    follow what a host prints              --slice=0  --worker=0
  stop    take the JobSet away: the run saves a checkpoint and ends
  resume  stop what is left of a run, and run: give the same flags again

  --context=NAME and --namespace=NAME; by default those of kubectl, which
  `gcloud container clusters get-credentials` sets.
  --dry-run prints the commands and runs none; after run, the manifest too, as
  YAML that `kubectl create -f` reads.

  Checkpoints, metrics and samples are in the workdir, what hosts print in Cloud
  Logging. A run whose node goes away saves a checkpoint, starts again by itself
  and goes on from there. Compiled programs are in the bucket of the workdir,
  unless --env=JAX_COMPILATION_CACHE_DIR=... names another place.

  launch/gke.sh run --name=a --image=IMAGE --env=HF_TOKEN -- \
    --config=configs/t2i.py --workdir=gs://my-bucket/first
USAGE
}

kubectl_with_input() { # INPUT WORDS...
  local input=$1
  shift
  if [[ -n $dry_run ]]; then
    echo "# + $(quoted kubectl "$@" ${where[@]+"${where[@]}"})"
    echo "$input"
  else
    echo "+ $(quoted kubectl "$@" ${where[@]+"${where[@]}"})"
    kubectl "$@" ${where[@]+"${where[@]}"} <<<"$input"
  fi
}

# The values come by a pipe: no command shows them, nor does a dry run.
send_secret() {
  local input='# The secret is left out.'
  if [[ -z $dry_run ]]; then
    input=$(secret)
  fi
  kubectl_with_input "$input" apply --server-side --force-conflicts -f -
}

start() {
  bucket=$(bucket_of ${flags[@]+"${flags[@]}"})
  [[ -n $image ]] || fail 'Expected --image=IMAGE, made of launch/Dockerfile.'
  find_slice "$type"
  if ((slices > 1 && hosts == 1)); then
    fail "Expected --num-slices=1 with --type=$type: GKE joins slices of" \
      'several hosts alone.'
  fi
  if ((${#variables[@]})); then
    send_secret
  fi
  kubectl_with_input "$(jobset)" create -f -
}

kube() { run kubectl "$@" ${where[@]+"${where[@]}"}; }

pods() { echo "--selector=jobset.sigs.k8s.io/jobset-name=$name$1"; }

# It waits until all pods have ended, and so until the checkpoint is saved.
stop() {
  kube delete jobset "$name" --cascade=foreground --ignore-not-found
  kube delete secret "$name-env" --ignore-not-found
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

name='' image='' type=v5litepod-16 slices=1 chips_per_host='' restarts=3
grace=300 account='' queue='' spot='' slice=0 worker=0 dry_run=''
where=() variables=() flags=()
while (($#)); do
  case $1 in
    --name=*) name=${1#*=} ;;
    --image=*) image=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --num-slices=*) slices=${1#*=} ;;
    --chips-per-host=*) chips_per_host=${1#*=} ;;
    --max-restarts=*) restarts=${1#*=} ;;
    --grace=*) grace=${1#*=} ;;
    --service-account=*) account=${1#*=} ;;
    --queue=*) queue=${1#*=} ;;
    --spot) spot=1 ;;
    --slice=*) slice=${1#*=} ;;
    --worker=*) worker=${1#*=} ;;
    --context=* | --namespace=*) where+=("$1") ;;
    --env=*) add_variable "${1#*=}" ;;
    --dry-run) dry_run=1 ;;
    --)
      flags=("${@:2}")
      break
      ;;
    *) fail "Expected an option of launch/gke.sh, as --name=VALUE, got $1." \
      "Flags of adrpo_jax.main stand after --; see --help." ;;
  esac
  shift
done
# A pod is called NAME-slice-SLICE-WORKER-xxxxx, in at most 63 letters.
[[ $name =~ ^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$ ]] ||
  fail "Expected --name of at most 40 letters a-z, digits and -, got '$name'."
for number in slices restarts grace slice worker; do
  [[ ${!number} =~ ^(0|[1-9][0-9]*)$ ]] ||
    fail "Expected a whole number for the $number, got '${!number}'."
done
((slices > 0)) || fail "Expected --num-slices of at least 1, got '$slices'."
need_program kubectl https://kubernetes.io/docs/tasks/tools

case $command in
  run) start ;;
  resume)
    stop
    start
    ;;
  status)
    kube get jobset "$name"
    kube get pods "$(pods '')" --output=wide
    ;;
  logs)
    labels=",jobset.sigs.k8s.io/job-index=$slice"
    labels+=",batch.kubernetes.io/job-completion-index=$worker"
    kube logs --follow --tail=100 "$(pods "$labels")"
    ;;
  stop) stop ;;
esac
