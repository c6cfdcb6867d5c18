# The test bed's own images: pause, busybox (the client pod of the tests) and CoreDNS.

# build_images BIN: writes them into BIN/images, once; the binaries' folder is already keyed by what they are made of.
build_images() {
  local bin=$1 out=$1/images root writer
  writer=$here/../../deploy/images/oci-archive.sh
  exec 8>"$bin/images.lock"
  flock 8
  if [ ! -e "$out/.complete" ]; then
    root=$(mktemp -d)
    rm -rf "$out"
    mkdir -p "$out" "$root/busybox/bin" "$root/busybox/tmp" "$root/coredns"
    cp "$(static_busybox)" "$root/busybox/bin/busybox"
    local applet
    for applet in $("$root/busybox/bin/busybox" --list); do
      [ "$applet" = busybox ] || ln -s busybox "$root/busybox/bin/$applet"
    done
    chmod 1777 "$root/busybox/tmp"
    # The names carry a host part: a bare `pause:1` would be looked for in a public registry.
    "$writer" --root "$root/busybox" --name localhost/pause:1 --out "$out/pause.tar" \
      --entrypoint /bin/busybox --arg sleep --arg infinity --user 65532:65532 --env PATH=/bin
    "$writer" --root "$root/busybox" --name localhost/busybox:1 --out "$out/busybox.tar" \
      --entrypoint /bin/busybox --arg sleep --arg infinity --user 65532:65532 --env PATH=/bin
    cp "$bin/coredns" "$root/coredns/coredns"
    "$writer" --root "$root/coredns" --name localhost/coredns:1 --out "$out/coredns.tar" \
      --entrypoint /coredns --user 65532:65532
    rm -rf "$root"
    touch "$out/.complete"
  fi
  exec 8>&-
}

static_busybox() {
  local candidate
  for candidate in /bin/busybox /usr/bin/busybox; do
    [ -x "$candidate" ] && { echo "$candidate"; return; }
  done
  die "no static busybox: run tests/cluster/install.sh"
}
