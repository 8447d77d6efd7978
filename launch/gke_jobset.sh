# shellcheck shell=bash
# Sourced by gke.sh, whose options are the variables here.
#
#   find_slice TYPE  sets accelerator, topology, hosts and chips_per_host
#   jobset           prints the manifest of the run
#   secret           prints that of the values of --env
# shellcheck disable=SC2154

# Sets what a node pool of GKE is asked for. A topology is that of
# adrpo_jax.compile; a number in v4-N and v5p-N counts cores, two of a chip.
find_slice() {
  local side chips=1
  case $1 in
    v5litepod-[0-9]* | v5e-[0-9]* | v5e:*) accelerator=tpu-v5-lite-podslice ;;
    v6e-[0-9]* | v6e:*) accelerator=tpu-v6e-slice ;;
    v4-[0-9]* | v4:*) accelerator=tpu-v4-podslice ;;
    v5p-[0-9]* | v5p:*) accelerator=tpu-v5p-slice ;;
    tpu7x:*) accelerator=tpu7x ;;
    *) fail "Expected --type=v5litepod-N, v6e-N, v4-N or v5p-N, or a topology" \
      "such as v5e:4x4 or tpu7x:2x2x1, got --type=$1." ;;
  esac
  case $1 in
    *:*) topology=${1#*:} ;;
    v4-* | v5p-*) topology=$(solid "${1##*-}") ;;
    *) topology=$(flat "${1##*-}") ;;
  esac
  [[ $topology =~ ^[1-9][0-9]*(x[1-9][0-9]*){1,2}$ ]] ||
    fail "Expected the size of a slice, got --type=$1. Name the topology:" \
      "--type=${1%%[-:]*}:4x4x12."
  for side in ${topology//x/ }; do
    chips=$((chips * side))
  done
  chips_per_host=${chips_per_host:-$((chips < 4 ? chips : 4))}
  if [[ ! $chips_per_host =~ ^[1-9]$ ]] || ((chips % chips_per_host)); then
    fail "Expected --chips-per-host that divides the $chips chips of a slice," \
      "got $chips_per_host."
  fi
  hosts=$((chips / chips_per_host))
}

flat() {
  case $1 in
    1) echo 1x1 ;; 4) echo 2x2 ;; 8) echo 2x4 ;; 16) echo 4x4 ;;
    32) echo 4x8 ;; 64) echo 8x8 ;; 128) echo 8x16 ;; 256) echo 16x16 ;;
  esac
}

solid() {
  case $1 in
    8) echo 2x2x1 ;; 16) echo 2x2x2 ;; 32) echo 2x2x4 ;; 64) echo 2x4x4 ;;
    128) echo 4x4x4 ;; 256) echo 4x4x8 ;; 512) echo 4x8x8 ;;
    1024) echo 8x8x8 ;; 2048) echo 8x8x16 ;; 4096) echo 8x16x16 ;;
    8192) echo 16x16x16 ;;
  esac
}

# A string of JSON, which YAML reads too.
json() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\t'/\\t}
  text=${text//$'\r'/\\r}
  echo "\"$text\""
}

# Kubernetes puts a variable in the place of $(NAME), and $( in that of $$(.
list_of_flags() {
  local flag dollar='$'
  for flag in "${flags[@]}"; do
    flag=${flag//"$dollar("/"$dollar$dollar("}
    printf '\n%18s- %s' '' "$(json "$flag")"
  done
}

list_of_variables() {
  local entry
  if ! given JAX_COMPILATION_CACHE_DIR; then
    printf '\n%18s- name: JAX_COMPILATION_CACHE_DIR' ''
    printf '\n%18s  value: %s' '' "$(json "$bucket/jax_cache")"
  fi
  for entry in ${variables[@]+"${variables[@]}"}; do
    printf '\n%18s- name: %s' '' "${entry%%=*}"
    printf '\n%18s  valueFrom:' ''
    printf '\n%18s    secretKeyRef: {name: %s-env, key: %s}' '' "$name" \
      "${entry%%=*}"
  done
}

# A command of sed: keeps the lines of an option, or drops them.
lines_of() { # OPTION VALUE
  if [[ -n $2 ]]; then
    echo "s/ # $1\$//"
  else
    echo "/ # $1\$/d"
  fi
}

put() { manifest=${manifest//"\${$1}"/"$2"}; }

jobset() {
  local manifest several=''
  if ((slices > 1)); then
    several=1
  fi
  manifest=$(sed -e '/^##/d' -e "$(lines_of --spot "$spot")" \
    -e "$(lines_of --queue "$queue")" \
    -e "$(lines_of --service-account "$account")" \
    -e "$(lines_of --num-slices "$several")" \
    "$(dirname "${BASH_SOURCE[0]}")/gke_jobset.yaml")
  put name "$name"
  put queue "$queue"
  put restarts "$restarts"
  put slices "$slices"
  put hosts "$hosts"
  put grace "$grace"
  put account "$account"
  put accelerator "$accelerator"
  put topology "$topology"
  put chips_per_host "$chips_per_host"
  put environment "$(list_of_variables)"
  put image "$(json "$image")"
  put arguments "$(list_of_flags)" # the last: nothing is put into it
  echo "$manifest"
}

secret() {
  local entry
  cat <<YAML
apiVersion: v1
kind: Secret
metadata:
  name: $name-env
stringData:
YAML
  for entry in "${variables[@]}"; do
    echo "  ${entry%%=*}: $(json "${entry#*=}")"
  done
}
