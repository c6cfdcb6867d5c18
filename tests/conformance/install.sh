#!/usr/bin/env bash
# Installs the official MCP conformance suite and the Node that it needs, as pinned by package-lock.json, outside the
# checkout: the suite asks for a newer Node than the machine's, and runs under the pinned one. Prints the folder.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../installed.sh"

fill() { npm_packages; }

installed conformance "$here/package.json" "$here/package-lock.json"
echo "$folder"
