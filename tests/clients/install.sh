#!/usr/bin/env bash
# Installs the MCP clients and servers that others wrote, as pinned by package-lock.json and requirements.txt, outside the
# checkout. Prints the folder: `node_modules` with a Node in it, `venv` with a Python. Needs npm, python3 (3.10 or newer,
# with venv) and a package index.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../installed.sh"

fill() {
  npm_packages
  python_packages "$folder/venv"
}

installed clients "$here/package.json" "$here/package-lock.json" "$here/requirements.txt"
echo "$folder"
