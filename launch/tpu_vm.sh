#!/usr/bin/env bash
# A run on a Cloud TPU, one host or a pod, from this machine.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'USAGE'
launch/tpu_vm.sh COMMAND --name=NAME --zone=ZONE [options] [-- flags]

  create    make the TPU          --type=v5litepod-8  --runtime=VERSION
                                  --spot  --queued (to wait in line for one:
            `gcloud compute tpus queued-resources list --zone=ZONE` says when
            it is there)
  install   copy the last commit to all hosts and install it there
  run       start adrpo_jax.main on all hosts, with the flags after --;
            --workdir=gs://... must be among them. It goes on without this
            terminal
  stop      tell the run to save a checkpoint and end
  resume    the same as run: give the same flags again. A spot TPU that was
            taken away is first deleted, created and installed anew
  logs      follow what a host prints               --worker=0
  delete    give the TPU back     --queued, if it was created so

  --dry-run prints the commands and runs none. The project is that of
  `gcloud config set project`.

  launch/tpu_vm.sh run --name=a --zone=us-west4-a -- \
    --config=configs/t2i.py --workdir=gs://my-bucket/first
USAGE
}

fail() {
  echo "error: $*" >&2
  exit 2
}

# The arguments as a shell reads them back.
quoted() {
  local argument line='' quote="'" escaped="'\\''"
  for argument in "$@"; do
    if [[ ! $argument =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]]; then
      argument="'${argument//$quote/$escaped}'"
    fi
    line+=" $argument"
  done
  echo "${line# }"
}

run() {
  echo "+ $(quoted "$@")"
  if [[ -z $dry_run ]]; then
    "$@"
  fi
}

tpu() { run gcloud compute tpus "$@" "--zone=$zone"; }

on_workers() { tpu tpu-vm ssh "$name" "--worker=$1" "--command=$2"; }

runtime_of() {
  case $1 in
    v4-*) echo tpu-ubuntu2204-base ;;
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v6e-*) echo v2-alpha-tpuv6e ;;
    *) fail "Expected --type=v4-N, v5litepod-N, v5p-N or v6e-N, or another" \
      "with its --runtime=VERSION, got --type=$1." ;;
  esac
}

create() {
  local version
  version=${runtime:-$(runtime_of "$type")}
  local what=("--accelerator-type=$type")
  if [[ -n $spot ]]; then
    what+=(--spot)
  fi
  if [[ -n $queued ]]; then
    tpu queued-resources create "$name" "--node-id=$name" \
      "--runtime-version=$version" "${what[@]}"
  else
    tpu tpu-vm create "$name" "--version=$version" "${what[@]}"
  fi
}

# The images have Python 3.10, so uv brings a newer one.
install() {
  local archive=${TMPDIR:-/tmp}/adrpo_jax.tar.gz
  run git -C "$root" archive --format=tar.gz "--output=$archive" HEAD
  tpu tpu-vm scp "$archive" "$name:adrpo_jax.tar.gz" --worker=all
  on_workers all "set -e; mkdir -p adrpo_jax; \
tar -xzf adrpo_jax.tar.gz -C adrpo_jax; cd adrpo_jax; \
python3 -m pip install --quiet --user uv; \
python3 -m uv venv --allow-existing --python 3.12 .venv; \
python3 -m uv pip install --quiet --python .venv -e .[tpu]"
}

start() {
  local flag workdir=''
  for flag in ${flags[@]+"${flags[@]}"}; do # Old shells call no flags unbound.
    if [[ $flag == --workdir=* ]]; then
      workdir=${flag#*=}
    fi
  done
  if [[ $workdir != gs://?* ]]; then
    fail "Expected --workdir=gs://BUCKET/FOLDER after --, which all hosts see" \
      "and which outlives the TPU, got: ${flags[*]:-no flags}."
  fi
  on_workers all "cd adrpo_jax || exit 1; \
nohup .venv/bin/python -m adrpo_jax.main $(quoted "${flags[@]}") \
>>run.log 2>&1 </dev/null &"
}

# The brackets keep the pattern from matching the shell that looks for it.
stop() { on_workers all "pkill -TERM -f '[a]drpo_jax.main'"; }

delete() {
  if [[ -n $queued ]]; then
    tpu queued-resources delete "$name" --force --quiet
  else
    tpu tpu-vm delete "$name" --quiet
  fi
}

case ${1:-} in
  create | install | run | stop | resume | logs | delete) command=$1 ;;
  help | -h | --help) usage && exit ;;
  *)
    usage >&2
    fail "Expected a command, got ${1:-none}."
    ;;
esac
shift

name='' zone='' type=v5litepod-8 runtime='' spot='' queued='' worker=0
dry_run='' flags=()
while (($#)); do
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --runtime=*) runtime=${1#*=} ;;
    --worker=*) worker=${1#*=} ;;
    --spot) spot=1 ;;
    --queued) queued=1 ;;
    --dry-run) dry_run=1 ;;
    --)
      flags=("${@:2}")
      break
      ;;
    *) fail "Expected an option of launch/tpu_vm.sh, written --name=VALUE, got" \
      "$1. Flags of adrpo_jax.main stand after --; see --help." ;;
  esac
  shift
done
[[ -n $name ]] || fail 'Expected --name=NAME, what the TPU is called, got none.'
[[ -n $zone ]] || fail 'Expected --zone=ZONE, such as us-west4-a, got none.'
if [[ -z $dry_run ]] && ! command -v gcloud >/dev/null; then
  fail 'Expected gcloud on the PATH, got none. Install the Google Cloud CLI' \
    '(https://cloud.google.com/sdk/docs/install), or add --dry-run.'
fi

case $command in
  run | resume) start ;;
  logs) on_workers "$worker" 'tail -n 100 -F adrpo_jax/run.log' ;;
  *) "$command" ;;
esac
