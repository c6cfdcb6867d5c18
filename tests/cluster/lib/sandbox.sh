# The host's side of the full cluster: one process with namespaces of its own, whose end is the end of all it started.

start_sandbox() {
  clean_slot
  make_cgroups
  # --kill-child and setpriv chain three lives together: `up`, unshare, and the first process inside.
  setpriv --pdeathsig KILL -- unshare --mount --pid --fork --net --uts --mount-proc --kill-child=KILL \
    "$here/lib/inside.sh" "$here" "$run" "$bin" "$slot" "$audit" "$began" $$ "${archives[@]}" </dev/null &
  sandbox=$!
  first_process_inside
  connect_network
}

# Sets $inside: the process that is number 1 in the sandbox.
first_process_inside() {
  for _ in {1..100}; do
    inside=$(cat "/proc/$sandbox/task/$sandbox/children" 2>/dev/null || true)
    inside=${inside%% *}
    # unshare's child is born in the new namespaces, so whichever name the process has at the moment does not matter.
    [ -z "$inside" ] || { echo "$inside" >"$run/sandbox.pid"; return; }
    kill -0 "$sandbox" 2>/dev/null || die "the sandbox did not start (are you root?)"
    sleep 0.05
  done
  die "the sandbox did not start within 5 s"
}

# A veth pair and two routes: Service and pod addresses answer from the machine, and pods reach servers on $host_ip.
# The sandbox gets no default route: nothing inside can reach anything else.
connect_network() {
  ip link add "$host_link" type veth peer name eth0 netns "$inside" || die "cannot make the veth pair"
  ip address add "$host_ip/30" dev "$host_link"
  ip link set "$host_link" up
  ip route add "$service_cidr" via "$node_ip" dev "$host_link" || die "another route to $service_cidr is in the way"
  ip route add "$pod_cidr" via "$node_ip" dev "$host_link" || die "another route to $pod_cidr is in the way"
}

# kubelet wants its cgroup root to exist in every hierarchy, and a cpuset without CPUs runs nothing.
make_cgroups() {
  local hierarchy file
  for hierarchy in $(cgroup_hierarchies); do
    mkdir -p "$hierarchy/$cgroup"
    for file in cpuset.cpus cpuset.mems; do
      if [ -e "$hierarchy/$file" ] && [ -e "$hierarchy/$cgroup/$file" ]; then
        cat "$hierarchy/$file" >"$hierarchy/$cgroup/$file"
      fi
    done
    # Version 2: controllers are handed down one level at a time.
    if [ -e "$hierarchy/cgroup.subtree_control" ] && [ "$hierarchy" = /sys/fs/cgroup ]; then
      sed 's/[^ ]*/+&/g' "$hierarchy/cgroup.controllers" >"$hierarchy/cgroup.subtree_control" || true
    fi
  done
}
