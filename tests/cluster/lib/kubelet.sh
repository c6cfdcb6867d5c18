# The kubelet of the one node, node1.

start_kubelet() {
  : >"$run/resolv.conf" # empty: pods resolve names through CoreDNS and nowhere else
  cat >"$run/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failCgroupV1: false
failSwapOn: false
# The node shares its machine with the tests: nothing is reserved, and nothing is evicted because the disk is filling up.
enforceNodeAllocatable: []
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
clusterDNS: [$dns_ip]
clusterDomain: cluster.local
resolvConf: $run/resolv.conf
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
# Its usual place is a folder of the machine itself.
volumePluginDir: $run/volume-plugins
# Tests wait for what these make slow: a changed Secret reaches the files of a pod after one sync at the latest.
syncFrequency: 5s
fileCheckFrequency: 5s
configMapAndSecretChangeDetectionStrategy: Watch
maxPods: 250
registerWithTaints: []
YAML
  start kubelet "$bin/kubelet" --config="$run/kubelet.yaml" --kubeconfig="$pki/node.kubeconfig" \
    --hostname-override=node1 --node-ip="$node_ip"
}

node_is_ready() {
  [ "$(kubectl get node node1 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]
}
