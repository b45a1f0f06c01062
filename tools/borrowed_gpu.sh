#!/bin/sh
# A study on a machine with a GPU that is ours for minutes and has no network (CONTRIBUTING.md, "A borrowed GPU").
#
#   tools/borrowed_gpu.sh pack FOLDER [--python 3.12] [--configfile ...]   here: parts of at most 60 MiB go into FOLDER
#   sh FOLDER/borrowed_gpu.sh run MINUTES [--first MODEL ...]              there, once all parts lie in one folder
#   tools/borrowed_gpu.sh bring FOLDER/back [--configfile ...]             here, once its parts lie there
#
# --python: take the wheels along that the machine's Python of that version lacks beside torch, NumPy, SciPy, pandas,
# pyarrow, scikit-learn, safetensors and tqdm. PYTHON names the Python to run with.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
lacking="annotated-types eagerpy foolbox gitdb gitpython pyautoattack pydantic pydantic-core pyyaml smmap typing-extensions typing-inspection"

usage() {
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

reproof() { # in a checkout, by its own environment where there is one
  python=${PYTHON:-python3}
  [ -n "${PYTHON:-}" ] || [ ! -x .venv/bin/python ] || python=.venv/bin/python
  PYTHONPATH=src:site "$python" -m reproof "$@"
}

wheels() { # VERSION: pins of what is lacking, for Linux on x86-64
  rm -rf "$folder/wheels"
  pins=$(for name in $lacking; do grep -i "^$name==" requirements.lock | sed 's/ *[;#].*//'; done)
  "${PYTHON:-python3}" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$1" \
    --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --dest "$folder/wheels" $pins
}

[ $# -ge 2 ] || usage
what=$1 folder=$2
shift 2
case $what in
pack)
  mkdir -p "$folder"
  if [ "${1:-}" = --python ]; then
    wheels "$2"
    shift 2
    set -- --wheels "$folder/wheels" "$@"
  fi
  reproof borrow pack "$folder" "$@"
  rm -rf "$folder/wheels" # they are in the parts
  cp "$0" "$folder/borrowed_gpu.sh"
  ;;
run)
  minutes=$folder
  work=$here/borrowed
  mkdir -p "$work"
  cksum "$here"/bundle.tar.xz.* >"$work/parts.new"
  if ! cmp -s "$work/parts.new" "$work/parts"; then # a bundle that was unpacked before would put older checkpoints back
    cat "$here"/bundle.tar.xz.* | tar -xJf - -C "$work"
    mv "$work/parts.new" "$work/parts"
  fi
  cd "$work"
  if [ -d wheels ] && [ ! -d site ]; then
    "${PYTHON:-python3}" -m pip install --quiet --no-index --no-deps --target site.part wheels/*.whl
    mv site.part site
  fi
  eval "set -- \"\$@\" $(cat arguments)"
  reproof borrow run "$here/back" --minutes "$minutes" "$@"
  ;;
bring)
  reproof borrow bring "$folder" "$@"
  ;;
*) usage ;;
esac
