# Slots let several clusters run on one machine: each has its own addresses, ports and cgroup, named by a number.
# The lock of a slot lies on descriptor 9 of `up`; the kernel lets go of it however `up` ends.

# take_slot: sets $slot and $lock. Expects $mode.
take_slot() {
  # One folder per user: whole clusters belong to root alone, and a control plane looks at its ports as well.
  local folder=/tmp/aperium-testbed-$UID count=8
  [ "$mode" = full ] || count=64
  mkdir -p -m 700 "$folder"
  [ -O "$folder" ] || die "$folder belongs to somebody else"
  for ((slot = 0; slot < count; slot++)); do
    lock=$folder/$mode-$slot.lock
    exec 9>>"$lock"
    if flock --nonblock 9 && ports_are_free; then return; fi
  done
  die "all $count slots of kind $mode are taken (see $folder)"
}

ports_are_free() {
  [ "$mode" != full ] || return 0
  local first=$((21000 + slot * 10)) port
  for ((port = first; port < first + 4; port++)); do
    [ -z "$(ss --no-header --listening --tcp --numeric "sport = :$port")" ] || return 1
  done
}

# clean_slot: removes what the kernel does not remove with the processes. Also run before a start, in case of a power cut.
clean_slot() {
  [ "$mode" = full ] || return 0
  # Either end of a veth pair takes the other with it, and its routes.
  ip link delete "$host_link" 2>/dev/null || true
  local hierarchy folder
  for hierarchy in $(cgroup_hierarchies); do
    [ -d "$hierarchy/$cgroup" ] || continue
    # Deepest first; a folder can be removed once its last process has been reaped, which may take a moment.
    find "$hierarchy/$cgroup" -depth -type d | while read -r folder; do
      for _ in {1..100}; do
        rmdir "$folder" 2>/dev/null && break
        sleep 0.1
      done
    done
  done
}

# With version 1 every controller has a hierarchy of its own; with version 2 there is one.
cgroup_hierarchies() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo /sys/fs/cgroup
  else
    find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d
  fi
}
