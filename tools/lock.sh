#!/bin/sh
# Write requirements.lock, requirements-dev.lock, environment.yml and environment-cpu.yml from pyproject.toml.
#
# Pins that still fit are kept; `--upgrade` takes the newest. The locks name no index: whoever installs chooses it.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check install --quiet 'uv==0.13.8'

compile() {
  "$folder/bin/uv" pip compile --quiet --universal --no-annotate --no-emit-index-url --no-emit-find-links \
    --custom-compile-command 'make lock' pyproject.toml "$@"
}
compile --output-file requirements.lock "$@"
compile --output-file requirements-dev.lock --extra dev --constraint requirements.lock "$@"
"${PYTHON:-python3}" tools/export_environment.py
