#!/usr/bin/env bash
# Writes our images as OCI archives, without a container engine or a registry: one program each, the C library it is linked
# to, the CA certificates, and nothing else: no shell, no package manager. Prints the archives' paths.
#
#   build.sh [--release] [--binaries DIR] [--out DIR] [NAME]...       NAME: operator, gateway, mcp (default: all three)
#
# The programs come from cargo's target folder (debug, or release with --release); build them first. Import an archive
# with `ctr --namespace k8s.io images import FILE`, or push it with any tool that reads OCI archives.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}
# shellcheck source=base.sh
source "$here/base.sh"

profile=debug binaries='' out=$target/images
names=()
while [ $# -gt 0 ]; do
  case $1 in
    --release) profile=release ;;
    --binaries) binaries=$2; shift ;;
    --out) out=$2; shift ;;
    operator | gateway | mcp) names+=("$1") ;;
    *) echo "unknown argument $1" >&2; exit 2 ;;
  esac
  shift
done
[ -n "$binaries" ] || binaries=$target/$profile
[ ${#names[@]} -gt 0 ] || names=(operator gateway mcp)
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$repository/Cargo.toml")

describe() {
  case $1 in
    operator) echo "Turns Connectors into running MCP services" ;;
    gateway) echo "The address at which agents reach every connector they are granted" ;;
    mcp) echo "One connector as an MCP service" ;;
  esac
}

# write_image NAME BASE
write_image() {
  local name=$1 base=$2 program=$binaries/aperium-$1 archive=$out/$1-$version.tar key root
  [ -x "$program" ] || { echo "$program is missing: cargo build --workspace --bins$([ "$profile" = debug ] || echo " --release")" >&2; exit 1; }
  # What decides the archive: the program, the base, and the scripts that write it.
  key=$(cat "$program" "$base/.complete" "$here/build.sh" "$here/oci-archive.sh" | sha256sum | cut -d' ' -f1)
  if [ ! -e "$archive" ] || [ "$(cat "$archive.key" 2>/dev/null)" != "$key" ]; then
    root=$(mktemp -d)
    cp -a "$base/." "$root/"
    rm "$root/.complete"
    mkdir -p "$root/usr/bin"
    strip --strip-all -o "$root/usr/bin/aperium-$name" "$program"
    chmod 755 "$root" "$root/usr/bin/aperium-$name"
    needed_libraries_are_there "$root" "$root/usr/bin/aperium-$name"
    "$here/oci-archive.sh" --root "$root" --out "$archive" --name "images.aperium.dev/$name:$version" \
      --entrypoint "/usr/bin/aperium-$name" --user 65532:65532 \
      --env PATH=/usr/bin --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
      --label "org.opencontainers.image.title=aperium-$name" \
      --label "org.opencontainers.image.description=$(describe "$name")" \
      --label "org.opencontainers.image.version=$version" \
      --label "org.opencontainers.image.licenses=Apache-2.0" \
      --label "org.opencontainers.image.vendor=Aperium"
    rm -rf "$root"
    echo "$key" >"$archive.key"
    echo "images.aperium.dev/$name:$version: $(($(stat -c %s "$archive") / 1048576)) MiB" >&2
  fi
  echo "$archive"
}

mkdir -p "$out"
exec 9>"$out/.lock" # two test programs may want the images at once
flock 9
base=$(base_folder)
for name in "${names[@]}"; do write_image "$name" "$base"; done
