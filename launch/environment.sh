# Sourced by the scripts that need Python: puts one with adrpo_jax on the PATH.
#
#   use_environment REPOSITORY EXTRAS     EXTRAS such as '', '[dev]'
#
# An active virtual environment is used as it is found. Otherwise ADRPO_VENV
# (default REPOSITORY/.venv) is made, once. The package is installed again only
# when pyproject.toml or the extras have changed.

newest_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.12 python3.11 python3 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
      2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo 'Expected Python 3.11 or newer on the PATH, found none. Install it, or' \
    'name it: PYTHON=/path/to/python3.12 and the same command again.' >&2
  return 1
}

use_environment() {
  local repository=$1 extras=$2
  if [[ -z ${VIRTUAL_ENV:-} ]]; then
    local venv=${ADRPO_VENV:-$repository/.venv}
    if [[ ! -f $venv/bin/activate ]]; then
      local python
      python=$(newest_python) || return 1
      echo "+ $python -m venv $venv"
      "$python" -m venv "$venv" || return 1
    fi
    # shellcheck disable=SC1091
    source "$venv/bin/activate"
  fi

  local wanted stamp=$VIRTUAL_ENV/.adrpo_jax_installed
  wanted="$repository $extras $(cksum <"$repository/pyproject.toml")"
  if [[ $(cat "$stamp" 2>/dev/null) != "$wanted" ]]; then
    local target=(-e "$repository$extras")
    if [[ -z $extras ]]; then
      target=(-r "$repository/requirements.txt")
    fi
    echo "+ pip install ${target[*]}   (into $VIRTUAL_ENV)"
    (cd "$repository" && python -m pip install --quiet "${target[@]}") ||
      return 1
    echo "$wanted" >"$stamp"
  fi
}
