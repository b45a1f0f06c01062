#!/bin/sh
# Make .venv hold the pins of a lock file; do nothing where it already does.
#
#   tools/set_up.sh requirements.lock              # TORCH=cpu in the environment: torch without CUDA, 2 GB instead of 6
#
# PyPI has torch for Linux with CUDA alone. TORCH=cpu takes the same versions from PyTorch's own index of CPU builds
# (TORCH_INDEX: a mirror of it), and leaves out what only CUDA needs. .venv remembers the choice; TORCH=pypi takes it back.
#
# The lock is copied into .venv as the very last step. So an install that was killed half-way, and one that was made
# from another version of the lock, are never taken for finished: the copy is missing or differs.
# src/ is put on the path by a .pth file and not by `pip install -e .`: that needs a build backend from the network,
# and breaks when the folder is moved.
set -eu

lock=$1
venv=.venv
stamp=$venv/$(basename "$lock")
unfinished=$venv/unfinished

say() { printf '%s\n' "$*" >&2; }
die() {
  say "reproof: $*"
  exit 1
}
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
had=$(cat "$venv/torch" 2>/dev/null || echo pypi)
torch=${TORCH:-$had}
case $torch in
cpu) [ "$(uname -s)" = Linux ] || torch=pypi ;; # elsewhere PyPI's has no CUDA either
pypi) ;;
*) die "there is no TORCH=$torch: cpu is torch without CUDA, pypi the one that PyPI has." ;;
esac
minor() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

usable() { # .venv has a working Python with pip, and it is the one asked for, if one was, and so is torch
  [ ! -e "$unfinished" ] && [ "$torch" = "$had" ] && "$venv/bin/python" -I -c 'import pip' 2>/dev/null || return 1
  [ -z "${PYTHON:-}" ] || [ "$(minor "$PYTHON")" = "$(minor "$venv/bin/python")" ]
}

if [ -n "${PYTHON:-}" ] && ! command -v "$PYTHON" >/dev/null; then
  die "there is no $PYTHON here. Name a Python 3.11 or newer: make PYTHON=/path/to/python3 ..."
fi
if usable; then
  if cmp -s "$lock" "$stamp"; then exit 0; fi
else
  python=${PYTHON:-python3}
  command -v "$python" >/dev/null ||
    die "there is no python3 here. Install Python 3.11 or newer (Debian, Ubuntu: apt install python3 python3-venv)."
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$python is Python $(minor "$python"); 3.11 or newer is needed. Name one: make PYTHON=python3.12 ..."
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "$python cannot make virtual environments. Install what is missing (Debian, Ubuntu: apt install python3-venv) and run make again."
  rm -rf "$venv" # not `venv --clear`, which would take the mark below with it
  mkdir "$venv"
  : >"$unfinished"
  "$python" -m venv "$venv" || die "$python could not make $venv (see above). Mend it and run make again."
fi

if [ "$torch" = cpu ]; then size=2; else size=6; fi
say "Installing the pins of $lock into $venv: up to $size GB and a few minutes, once."
: >"$unfinished"
rm -f "$stamp"
pip() { "$venv/bin/python" -I -m pip --disable-pip-version-check --no-input "$@"; }
failed="installing failed (see above). Is the network there, and $((size + 1)) GB of disk? The same command tries again."
# One package comes as source only. It is built with the pinned setuptools instead of the newest one, and offline
# where the wheels are at hand (PIP_NO_INDEX, PIP_FIND_LINKS).
setuptools=$(grep '^setuptools==' "$lock" || true)
if [ -n "$setuptools" ]; then
  pip install --quiet --no-deps "$setuptools" || die "$failed"
fi
pins=$lock
if [ "$torch" = cpu ]; then
  pins=$venv/pins
  only_with_cuda=$(cat tools/only_with_cuda.txt)
  sed -E "/$only_with_cuda/d; /^(torch|torchvision)==/d" "$lock" >"$pins"
  version() { sed -n "s/^$1==\([^ ;]*\).*/\1/p" "$lock"; }
  vision=torchvision==$(version torchvision) # on other processors its one build is without CUDA, and without +cpu
  [ "$(uname -m)" != x86_64 ] || vision=$vision+cpu
  pip install --no-compile --no-deps --index-url "$torch_index" "torch==$(version torch)+cpu" "$vision" ||
    die "torch without CUDA could not be had from $torch_index (see above). TORCH_INDEX names a mirror of it; TORCH=pypi takes what PyPI has, 6 GB."
fi
pip install --no-compile --no-deps --no-build-isolation --use-pep517 -r "$pins" || die "$failed"
pip check || die "the pins of $lock do not fit together on this machine (see above)."
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# Pip would compile one file after another: a minute. Templates among them are no Python, and that is no failure.
"$venv/bin/python" -I -m compileall -q -j 0 "$site" >/dev/null 2>&1 || true
echo '../../../../src' >"$site/reproof.pth"
echo "$torch" >"$venv/torch"
cp "$lock" "$stamp.part"
rm "$unfinished"
mv "$stamp.part" "$stamp"
