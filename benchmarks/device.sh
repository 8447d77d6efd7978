#!/usr/bin/env bash
# Times this package on one GPU, beside PyTorch on the same: one command of at most
# twelve minutes, for a bare machine without a network.
#
#   benchmarks/device.sh --wheels=DIR    with wheels that device_wheels.sh fetched
#   benchmarks/device.sh                 with what the Python has
#   benchmarks/device.sh --rehearse      the same way with tiny sizes, on a CPU
#
#   --only=t2i,llm  --skip=...           parts: t2i, t2i_guidance, llm,
#                                        quickstart_t2i, quickstart_llm, smollm2
#   --smollm2=DIR                        of that part: the folder that
#                                        real_model/make_folder.py has made; the
#                                        runs come to DIR_runs
#   --out=DIR                            of the JSON files, one for each part
#   --traces=DIR                         of a step of our sides, for XProf
#   --minutes=12                         of all parts; each has its share, and one
#                                        that would exceed it is cut and says so
#   --commit=ID                          where there is no git to ask
#
# Python is PYTHON, otherwise the first of python3, python3.12, python3.13 that
# has JAX, which comes for the card, as PyTorch does. Wheels go to a folder of this
# run and stand before what is installed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

wheels='' arguments=()
for argument in "$@"; do
  case $argument in
    --wheels=*) wheels=${argument#--wheels=} ;;
    --rehearse) export JAX_PLATFORMS=cpu CUDA_VISIBLE_DEVICES='' ;&
    *) arguments+=("$argument") ;;
  esac
done

python=''
for candidate in ${PYTHON:-python3 python3.12 python3.13}; do
  if "$candidate" -c 'import jax' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [[ -z $python ]]; then
  echo 'Expected a Python with JAX, found none. Name it: PYTHON=/path/to/python' \
    'and the same command again.' >&2
  exit 1
fi

here=$(mktemp -d "${TMPDIR:-/tmp}/adrpo_jax_device.XXXXXX")
trap 'rm -rf "$here"' EXIT
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
if [[ -n $wheels ]]; then
  "$python" -m pip install --quiet --no-index --no-deps --no-compile \
    --no-cache-dir --target "$here/site" "$wheels"/*.whl
  export PYTHONPATH=$here/site:$PYTHONPATH
fi

missing=$("$python" - <<'END'
from importlib.util import find_spec
needs = {
  'flax': 'flax', 'optax': 'optax', 'orbax.checkpoint': 'orbax-checkpoint',
  'etils': 'etils', 'numpy': 'numpy', 'ml_collections': 'ml_collections',
  'absl': 'absl-py', 'transformers': 'transformers', 'jinja2': 'jinja2',
  'safetensors': 'safetensors', 'tensorboardX': 'tensorboardX',
  'PIL': 'pillow', 'matplotlib': 'matplotlib',
  'huggingface_hub': 'huggingface_hub',
}
def there(name):
  try:
    return find_spec(name) is not None
  except ModuleNotFoundError:
    return False
print(*(wheel for name, wheel in needs.items() if not there(name)))
END
)
if [[ -n $missing ]]; then
  echo "Expected wheels of these in --wheels=DIR: $missing. Fetch them where there" \
    'is a network: benchmarks/device_wheels.sh DIR.' >&2
  exit 1
fi
"$python" -c 'import sys, jax; print(sys.version.split()[0], "jax",
  jax.__version__, jax.devices())'
# Programs compiled once serve both sides of a part and the parts after it.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$here/jax_cache}
export TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
"$python" -m benchmarks.device "${arguments[@]}"
