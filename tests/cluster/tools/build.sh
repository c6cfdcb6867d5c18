#!/usr/bin/env bash
# Builds every `tool` of go.mod in one `go build` and prints, as the last line on stdout, the folder that holds them.
#
# The folder's name is a hash of all that decides the result, so a second run finds it and does nothing, and a changed
# version never meets an old binary. It lies outside the checkout because a fresh clone should not build it again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${APERIUM_CACHE:-$HOME/.cache/aperium}

kubernetes=$(sed -n 's|^\tk8s.io/kubernetes v\([0-9.]*\).*|\1|p' "$here/go.mod")
[ -n "$kubernetes" ] || { echo "no version of k8s.io/kubernetes in $here/go.mod" >&2; exit 1; }
minor=${kubernetes#*.}
minor=${minor%%.*}
version=k8s.io/component-base/version
# Without a version the API server reports v0.0.0 and clients that look at it misbehave.
ldflags="-s -w -X $version.gitVersion=v$kubernetes -X $version.gitMajor=${kubernetes%%.*} -X $version.gitMinor=$minor"
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOCACHE="${GOCACHE:-$cache/go-build}"

command -v go >/dev/null || { echo "go is needed to build the test bed's binaries (see $here/go.mod for its version)" >&2; exit 1; }
hash=$( { cat "$here/go.mod" "$here/go.sum"; echo "$ldflags"; (cd "$here" && go env GOVERSION GOOS GOARCH); } | sha256sum | cut -c1-16)
out=$cache/kube-$hash
mkdir -p "$cache"

# Two test runs at once: the second waits for the first instead of building the same thing beside it.
exec 9>"$cache/kube-$hash.lock"
flock 9
if [ ! -e "$out/.complete" ]; then
  started=$SECONDS
  echo "building Kubernetes $kubernetes, etcd, CoreDNS and Helm into $out (about 10 minutes on 2 cores, once)" >&2
  # A leftover folder is an interrupted build: `go build` takes up again from what it holds.
  mkdir -p "$out.partial"
  (cd "$here" && go build -trimpath -ldflags "$ldflags" -o "$out.partial/" tool) >&2
  mv -f "$out.partial/server" "$out.partial/etcd" # the package is called go.etcd.io/etcd/server
  touch "$out.partial/.complete"
  rm -rf "$out"
  mv "$out.partial" "$out"
  echo "built in $((SECONDS - started)) s" >&2
fi
echo "$out"
