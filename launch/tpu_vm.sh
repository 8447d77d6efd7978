#!/usr/bin/env bash
# A run on a Cloud TPU, one host or a pod, from this machine.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=remote.sh
source "$root/launch/remote.sh"

usage() {
  cat <<'USAGE'
launch/tpu_vm.sh COMMAND --name=NAME --zone=ZONE [options] [-- flags]

  create    make the TPU          --type=v5litepod-8  --runtime=VERSION
                                  --spot  --queued (to wait in line for one:
            `status` says when it is there)  --num-slices=N (waits in line too)
                                  --network=NAME  --subnetwork=NAME
                                  --service-account=EMAIL
  status    what Google Cloud says of the TPU, and the last line of the run
  install   copy the last commit to all hosts and install it there
                                  --extras=math,wandb
  run       start adrpo_jax.main on all hosts, with the flags after --;
            --workdir=gs://... must be among them. It goes on without this
            terminal              --env=NAME=VALUE, or --env=NAME for what this
            shell has; again for more. Values travel in a file that only you
            can read, not in a command
  stop      tell the run to save a checkpoint and end
  resume    the same as run: give the same flags again. A spot TPU that was
            taken away is first deleted, created and installed anew
  logs      follow what a host prints               --worker=0
  delete    give the TPU back     --queued or --num-slices, if it was created so

  --project=ID; by default that of `gcloud config set project`.
  --internal-ip for hosts without addresses of their own: for every command.
  --dry-run prints the commands and runs none.

  A run keeps its compiled programs in the bucket of its workdir, unless
  --env=JAX_COMPILATION_CACHE_DIR=... names another place.

  launch/tpu_vm.sh run --name=a --zone=us-west4-a --env=HF_TOKEN -- \
    --config=configs/t2i.py --workdir=gs://my-bucket/first
USAGE
}

# A connection may fail where nothing is wrong: tried three times. For commands
# that do no harm the second time.
again() {
  local left=2
  until "$@"; do
    ((left--)) || return 1
    echo "Failed; once more in 10 s." >&2
    sleep 10
  done
}

tpu() { run gcloud compute tpus "$@" "${where[@]}"; }

# All slices of several hang together by their place in the queue.
hosts() { # COMMAND WORKER ARGUMENTS...
  local word=$1 reach=("--worker=$2")
  if [[ -n $internal_ip ]]; then
    reach+=(--internal-ip)
  fi
  if ((slices > 1)); then
    run gcloud alpha compute tpus queued-resources "$word" "${@:3}" \
      --node=all "${reach[@]}" "${where[@]}"
  else
    tpu tpu-vm "$word" "${@:3}" "${reach[@]}"
  fi
}

on_workers() { hosts ssh "$1" "$name" "--command=$2"; }

copied() { hosts scp all "$1" "$name:$2"; }

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
  local what=("--accelerator-type=$type" ${access[@]+"${access[@]}"})
  if [[ -n $spot ]]; then
    what+=(--spot)
  fi
  if [[ -n $internal_ip ]]; then
    what+=(--internal-ips)
  fi
  if ((slices > 1)); then
    tpu queued-resources create "$name" "--node-count=$slices" \
      "--node-prefix=$name" "--runtime-version=$version" "${what[@]}"
  elif [[ -n $queued ]]; then
    tpu queued-resources create "$name" "--node-id=$name" \
      "--runtime-version=$version" "${what[@]}"
  else
    tpu tpu-vm create "$name" "--version=$version" "${what[@]}"
  fi
}

status() {
  if [[ -n $queued ]]; then
    tpu queued-resources describe "$name" '--format=value(state.state)'
  else
    tpu tpu-vm describe "$name" '--format=value(state,health)'
  fi
  on_workers "$worker" 'tail -n 1 adrpo_jax/run.log || echo No run yet.'
}

# The images have Python 3.10, so uv brings a newer one.
install() {
  local archive=${TMPDIR:-/tmp}/adrpo_jax.tar.gz
  run git -C "$root" archive --format=tar.gz "--output=$archive" HEAD
  again copied "$archive" adrpo_jax.tar.gz
  again on_workers all "set -e; mkdir -p adrpo_jax; \
tar -xzf adrpo_jax.tar.gz -C adrpo_jax; cd adrpo_jax; \
python3 -m pip install --quiet --user uv; \
python3 -m uv venv --allow-existing --python 3.12 .venv; \
python3 -m uv pip install --quiet --python .venv -e .[tpu${extras:+,$extras}]"
}

# The values of --env go to all hosts in a file of mode 600.
send_environment() {
  local entry
  if [[ -n $dry_run ]]; then
    copied "${TMPDIR:-/tmp}/adrpo_jax_env" .adrpo_jax_env
    return
  fi
  secrets=$(mktemp "${TMPDIR:-/tmp}/adrpo_jax_env.XXXXXX") # of mode 600
  trap 'rm -f "$secrets"' EXIT # after Ctrl-C too
  for entry in "${variables[@]}"; do
    printf 'export %s=%s\n' "${entry%%=*}" "$(quoted "${entry#*=}")"
  done >"$secrets"
  again copied "$secrets" .adrpo_jax_env
}

start() {
  local bucket setting=''
  bucket=$(bucket_of ${flags[@]+"${flags[@]}"})
  if ! given JAX_COMPILATION_CACHE_DIR; then
    setting="export JAX_COMPILATION_CACHE_DIR=$bucket/jax_cache; "
  fi
  if ((${#variables[@]})); then
    send_environment
    setting+='. ~/.adrpo_jax_env; '
  fi
  on_workers all "cd adrpo_jax || exit 1; ${setting}\
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
  create | status | install | run | stop | resume | logs | delete) command=$1 ;;
  help | -h | --help) usage && exit ;;
  *)
    usage >&2
    fail "Expected a command, got ${1:-none}."
    ;;
esac
shift

name='' zone='' type=v5litepod-8 runtime='' spot='' queued='' worker=0 slices=1
internal_ip='' project='' extras='' dry_run='' access=() variables=() flags=()
while (($#)); do
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --runtime=*) runtime=${1#*=} ;;
    --worker=*) worker=${1#*=} ;;
    --num-slices=*) slices=${1#*=} ;;
    --network=* | --subnetwork=* | --service-account=*) access+=("$1") ;;
    --project=*) project=${1#*=} ;;
    --extras=*) extras=${1#*=} ;;
    --env=*) add_variable "${1#*=}" ;;
    --internal-ip) internal_ip=1 ;;
    --spot) spot=1 ;;
    --queued) queued=1 ;;
    --dry-run) dry_run=1 ;;
    --)
      flags=("${@:2}")
      break
      ;;
    *) fail "Expected an option of launch/tpu_vm.sh, as --name=VALUE, got" \
      "$1. Flags of adrpo_jax.main stand after --; see --help." ;;
  esac
  shift
done
[[ -n $name ]] || fail 'Expected --name=NAME, what the TPU is called, got none.'
[[ -n $zone ]] || fail 'Expected --zone=ZONE, such as us-west4-a, got none.'
[[ $slices =~ ^[1-9][0-9]*$ ]] ||
  fail "Expected --num-slices of at least 1, got '$slices'."
if ((slices > 1)); then
  queued=1 # Google Cloud makes several only so.
fi
where=("--zone=$zone")
if [[ -n $project ]]; then
  where+=("--project=$project")
fi
need_program gcloud https://cloud.google.com/sdk/docs/install

case $command in
  run | resume) start ;;
  logs) on_workers "$worker" 'tail -n 100 -F adrpo_jax/run.log' ;;
  *) "$command" ;;
esac
