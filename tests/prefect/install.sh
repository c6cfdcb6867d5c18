#!/usr/bin/env bash
# Installs the pinned Prefect into a virtual environment of its own, once, and prints the path of its python.
# Needs python3 (3.10 or newer, with venv) and a package index; about 260 MB.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
hash=$(sha256sum "$here/requirements.txt" | cut -c1-16)
cache=${APERIUM_CACHE:-$HOME/.cache/aperium}
folder=$cache/prefect-$hash

# Tests of several programs may want it at the same time: the first installs, the others wait.
mkdir -p "$cache"
exec 9>"$folder.lock"
flock 9

if [ ! -f "$folder/complete" ]; then
  rm -rf "$folder"
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! { python3 -m venv "$folder" &&
    "$folder/bin/python" -m pip install --quiet --no-deps -r "$here/requirements.txt" &&
    "$folder/bin/python" -m pip check; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -rf "$folder"
    exit 1
  fi
  touch "$folder/complete"
fi
echo "$folder/bin/python"
