#!/usr/bin/env bash
# Writes one OCI image archive from a folder: a layer tar, a config and a manifest, as the OCI image specification 1.1
# lays them out. No container engine, no registry and no network take part.
#
#   oci-archive.sh --root DIR --name HOST/NAME:TAG --out FILE --entrypoint PATH
#                  [--arg ARG]... [--user UID[:GID]] [--label KEY=VALUE]... [--env KEY=VALUE]...
#
# The same folder gives the same bytes: names are sorted, owners and times are fixed.
set -euo pipefail

root='' name='' out='' user='' entrypoint=''
args=() labels=() env=()
while [ $# -gt 0 ]; do
  case $1 in
    --root) root=$2 ;;
    --name) name=$2 ;;
    --out) out=$2 ;;
    --user) user=$2 ;;
    --entrypoint) entrypoint=$2 ;;
    --arg) args+=("$2") ;;
    --label) labels+=("$2") ;;
    --env) env+=("$2") ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
for needed in root name out entrypoint; do
  [ -n "${!needed}" ] || { echo "--$needed is needed" >&2; exit 2; }
done

# Text as a JSON string. Control characters have no place in a label or a path.
json_string() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}
json_list() {
  local separator='' item
  printf '['
  for item in "$@"; do printf '%s' "$separator"; json_string "$item"; separator=,; done
  printf ']'
}
json_map() { # KEY=VALUE...
  local separator='' item
  printf '{'
  for item in "$@"; do
    printf '%s' "$separator"; json_string "${item%%=*}"; printf ':'; json_string "${item#*=}"; separator=,
  done
  printf '}'
}

case $(uname -m) in
  x86_64) architecture=amd64 ;;
  aarch64) architecture=arm64 ;;
  *) echo "no OCI name known for the architecture $(uname -m)" >&2; exit 1 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/blobs/sha256"

# Moves a file under its own digest and prints `DIGEST SIZE`.
store() {
  local digest size
  digest=$(sha256sum "$1" | cut -d' ' -f1)
  size=$(stat -c %s "$1")
  mv "$1" "$work/blobs/sha256/$digest"
  echo "$digest $size"
}

# Not compressed: the archive is imported on the machine that wrote it, and gzip would take longer than all the rest.
tar --create --file "$work/layer" --directory "$root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu .
read -r layer layer_size < <(store "$work/layer")

cat >"$work/config" <<JSON
{"architecture":"$architecture","os":"linux","config":{"User":$(json_string "$user"),"Entrypoint":$(json_list "$entrypoint" "${args[@]}"),"Env":$(json_list "${env[@]}"),"Labels":$(json_map "${labels[@]}")},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},"history":[{"created_by":"deploy/images/oci-archive.sh"}]}
JSON
read -r config config_size < <(store "$work/config")

cat >"$work/manifest" <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$config","size":$config_size},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:$layer","size":$layer_size}]}
JSON
read -r manifest manifest_size < <(store "$work/manifest")

# `io.containerd.image.name` is how an import learns the whole name; `ref.name` alone carries only the tag.
cat >"$work/index.json" <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:$manifest","size":$manifest_size,"annotations":{"io.containerd.image.name":$(json_string "$name"),"org.opencontainers.image.ref.name":$(json_string "${name##*:}")},"platform":{"architecture":"$architecture","os":"linux"}}]}
JSON
echo '{"imageLayoutVersion":"1.0.0"}' >"$work/oci-layout"

mkdir -p "$(dirname "$out")"
tar --create --file "$out.partial" --directory "$work" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu oci-layout index.json blobs
mv -f "$out.partial" "$out"
