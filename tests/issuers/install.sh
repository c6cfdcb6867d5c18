#!/usr/bin/env bash
# Installs the OIDC issuers that others wrote, as pinned by package-lock.json, outside the checkout. Prints the folder:
# `node_modules` with a Node in it. Needs npm and a package index.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../installed.sh"

fill() { npm_packages; }

installed issuers "$here/package.json" "$here/package-lock.json"
echo "$folder"
