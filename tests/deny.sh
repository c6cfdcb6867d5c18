#!/usr/bin/env bash
# Licences, bans and sources of all dependencies. Installs cargo-deny once, outside the checkout.
set -euo pipefail
version=0.20.2
root=${APERIUM_CACHE:-$HOME/.cache/aperium}/cargo-deny-$version
if [ ! -x "$root/bin/cargo-deny" ]; then
  CARGO_TARGET_DIR=$root/build cargo install --quiet --locked --root "$root" cargo-deny@$version
  rm -rf "$root/build"
fi
"$root/bin/cargo-deny" --locked check --hide-inclusion-graph bans licenses sources
