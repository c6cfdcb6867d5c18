#!/usr/bin/env bash
# Installs the OIDC issuers that others wrote, as pinned by package-lock.json, outside the checkout. Prints the folder:
# `node_modules` with a Node in it. Needs npm and a package index.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
key=$(cat "$here/package.json" "$here/package-lock.json" | sha256sum | cut -c1-16)
cache=${APERIUM_CACHE:-$HOME/.cache/aperium}
folder=$cache/issuers-$key

# Tests of several programs may want it at the same time: the first installs, the others wait.
mkdir -p "$cache"
exec 9>"$folder.lock"
flock 9

if [ ! -e "$folder/.complete" ]; then
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$here/package.json" "$here/package-lock.json" "$folder"
  (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error >&2)
  touch "$folder/.complete"
fi
echo "$folder"
