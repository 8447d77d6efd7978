# shellcheck shell=bash
# Sourced by the scripts that start a run elsewhere: tpu_vm.sh, xpk.sh, gke.sh.
# They set `dry_run` and the array `variables`, of NAME=VALUE.
#
#   fail WORDS...          ends with the message
#   quoted WORDS...        prints them as a shell reads them back
#   run WORDS...           prints a command and, unless it is a dry run, runs it
#   add_variable ARGUMENT  the value of --env
#   given NAME             succeeds where an --env has set it
#   bucket_of FLAGS...     prints the bucket of --workdir, gs://BUCKET
#   need_program NAME URL  fails where a program is not on the PATH

fail() {
  echo "error: $*" >&2
  exit 2
}

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

# NAME=VALUE, or NAME for a variable of this shell.
add_variable() {
  local variable=${1%%=*}
  if [[ ! $variable =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]]; then
    fail "Expected --env=NAME or --env=NAME=VALUE, got a name like" \
      "'$variable'."
  fi
  if [[ $1 != *=* && -z ${!variable+set} ]]; then
    fail "Expected $variable in the environment, for --env=$variable, but it" \
      "is not set. Export it."
  fi
  if [[ $1 == *=* ]]; then
    variables+=("$1")
  else
    variables+=("$variable=${!variable}")
  fi
}

# Whether --env names a variable. Old shells call an empty array unbound.
given() {
  local entry
  for entry in ${variables[@]+"${variables[@]}"}; do
    if [[ $entry == "$1="* ]]; then
      return
    fi
  done
  return 1
}

bucket_of() {
  local flag workdir=''
  for flag in "$@"; do
    if [[ $flag == --workdir=* ]]; then
      workdir=${flag#*=}
    fi
  done
  if [[ $workdir != gs://?* ]]; then
    fail "Expected --workdir=gs://BUCKET/FOLDER after --, which all hosts see" \
      "and which outlives the TPU, got: ${*:-no flags}."
  fi
  workdir=${workdir#gs://}
  echo "gs://${workdir%%/*}"
}

need_program() {
  if [[ -z $dry_run ]] && ! command -v "$1" >/dev/null; then
    fail "Expected $1 on the PATH, got none. Install it ($2), or add --dry-run."
  fi
}
