#!/usr/bin/env bash
# Fetches the wheels of benchmarks/device.sh, where there is a network.
#
#   benchmarks/device_wheels.sh DIR          what an image with JAX and PyTorch for
#                                            its card usually lacks: 10 MB
#   benchmarks/device_wheels.sh --all DIR    everything, with CUDA from wheels: 6 GB
#   --list                                   print names and versions, fetch nothing
#
# They are for the Python that fetches them: 3.12, or PYTHON_VERSION, on the same
# kind of processor. CUDA=12 takes JAX for CUDA 12 in place of 13, which the driver
# of the machine has to support.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../launch/environment.sh"

# Without what they need themselves, which such an image has.
lacking=(flax ml_collections tensorboardX diffusers==0.42.1 trl==1.16.0
  datasets dill multiprocess)
everything=("jax[cuda${CUDA:-13}]>=0.12.0.1" 'flax>=0.12.12' 'optax>=0.2.8'
  'orbax-checkpoint>=0.12.8' 'etils[epath]>=1.9' 'numpy>=2' 'ml_collections>=1.1'
  'absl-py>=2.1' 'transformers>=5' 'jinja2>=3.1' 'huggingface_hub>=1'
  'safetensors>=0.8' 'tensorboardX>=2.6.5' 'pillow>=11' 'matplotlib>=3.9'
  'torch==2.13.0' 'diffusers==0.42.1' 'peft==0.21.2' 'trl==1.16.0')

wanted=(--no-deps "${lacking[@]}") list=0 folder=''
for argument in "$@"; do
  case $argument in
    --all) wanted=("${everything[@]}") ;;
    --list) list=1 ;;
    *) folder=$argument ;;
  esac
done
if [[ -z $folder && $list == 0 ]]; then
  echo 'Expected a folder for the wheels: benchmarks/device_wheels.sh DIR.' >&2
  exit 1
fi

version=${PYTHON_VERSION:-3.12}
if ! python=$(python_of "$version"); then
  echo "Expected Python $version, whose wheels are wanted, found none on the PATH" \
    'or under pyenv. Name another version: PYTHON_VERSION=3.13.' >&2
  exit 1
fi
if [[ $list == 1 ]]; then
  "$python" -m pip install --dry-run --ignore-installed --quiet --report - \
    --only-binary=:all: "${wanted[@]}" |
    "$python" -c 'import json, sys
for item in json.load(sys.stdin)["install"]:
  print(item["metadata"]["name"], item["metadata"]["version"])'
else
  "$python" -m pip download --only-binary=:all: --dest "$folder" "${wanted[@]}"
  du -sh "$folder"
fi
