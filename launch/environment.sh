# shellcheck shell=bash
# Sourced by the scripts that need Python with adrpo_jax in it.
#
#   activate_environment REPOSITORY       an active virtual environment is used
#     as it is; otherwise ADRPO_VENV (default REPOSITORY/.venv), made if missing
#   install_package REPOSITORY EXTRAS     EXTRAS such as '' or '[dev]'; again
#     only when pyproject.toml or the extras have changed
#   python_of VERSION                     prints the command of that Python, such
#     as 3.12; fails where none is installed

newest_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python
  do
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

# A shim of pyenv runs only where its version is selected: so what a candidate
# says counts, and pyenv's own folders are candidates too.
python_of() {
  local version=$1 candidate
  for candidate in "python$version" \
    "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
    if [[ $("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' \
      2>/dev/null) == "$version" ]]; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

activate_environment() {
  if [[ -n ${VIRTUAL_ENV:-} ]]; then
    return
  fi
  local python venv=${ADRPO_VENV:-$1/.venv}
  if [[ ! -f $venv/bin/activate ]]; then
    python=$(newest_python) || return 1
    echo "+ $python -m venv $venv"
    "$python" -m venv "$venv" || return 1
  fi
  # shellcheck disable=SC1091
  source "$venv/bin/activate"
}

install_package() {
  local repository=$1 extras=$2
  local wanted stamp=$VIRTUAL_ENV/.adrpo_jax_installed
  wanted="$repository $extras $(cksum <"$repository/pyproject.toml")"
  if [[ $(cat "$stamp" 2>/dev/null) == "$wanted" ]]; then
    return
  fi
  local target=(-e "$repository$extras")
  if [[ -z $extras ]]; then
    target=(-r "$repository/requirements.txt")
  fi
  echo "+ pip install ${target[*]}   (into $VIRTUAL_ENV)"
  # Python compiles a module when it is first imported; most never are.
  (cd "$repository" && python -m pip install --quiet --no-compile \
    "${target[@]}") || return 1
  echo "$wanted" >"$stamp"
}
