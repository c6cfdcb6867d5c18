#!/usr/bin/env bash
# Installs the official MCP conformance suite and the Node that it needs, as pinned by package-lock.json, outside the
# checkout. Prints the folder.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
key=$(cat "$here/package.json" "$here/package-lock.json" | sha256sum | cut -c1-16)
folder=${APERIUM_CACHE:-$HOME/.cache/aperium}/conformance-$key
if [ ! -e "$folder/.complete" ]; then
  making=$folder.$$
  mkdir -p "$making"
  cp "$here/package.json" "$here/package-lock.json" "$making"
  # The suite asks for a newer Node than the machine's: it runs under the pinned one.
  (cd "$making" && npm ci --no-audit --no-fund --loglevel=error >&2)
  touch "$making/.complete"
  mv -T "$making" "$folder" 2>/dev/null || rm -rf "$making"
fi
echo "$folder"
