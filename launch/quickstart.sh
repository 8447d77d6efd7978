#!/usr/bin/env bash
# From a fresh clone to report.html: makes an environment, installs, fine-tunes
# the small text-to-image model that ships with the package. Arguments go to
# adrpo_jax.main, so `launch/quickstart.sh --workdir=runs/first` works.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
source launch/environment.sh

activate_environment "$root"
install_package "$root" ''
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$root/.cache/jax}

arguments=("$@")
if [[ " $* " != *' --config'* ]]; then
  arguments=(--config=configs/t2i.py "$@")
fi
echo "+ python -m adrpo_jax.main ${arguments[*]}"
exec python -m adrpo_jax.main "${arguments[@]}"
