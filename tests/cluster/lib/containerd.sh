# containerd and the pod network. What it keeps lies in the run directory; what it needs while it runs (sockets, namespaces)
# lies in the sandbox's private /run, where paths stay short enough for a socket's name.

start_containerd() {
  mkdir -p "$run/containerd" "$run/cni"
  cat >"$run/containerd.toml" <<TOML
version = 2
root = "$run/containerd"
state = "/run/containerd"
# Lowering a process's OOM score needs rights that a container on a build machine may lack.
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$run/cni"
TOML
  cat >"$run/cni/10-bridge.conflist" <<JSON
{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pod_cidr"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
JSON
  start containerd containerd --config "$run/containerd.toml"
}

wait_for_containerd() { wait_for 30 containerd serving ctr version; }

# import_images ARCHIVE...: into the namespace that kubelet sees.
import_images() {
  local archive
  for archive in "$@"; do
    ctr --namespace k8s.io images import "$archive" >>"$run/logs/images.log" 2>&1 || die_of images "cannot import $archive"
  done
  say "$# images imported"
}
