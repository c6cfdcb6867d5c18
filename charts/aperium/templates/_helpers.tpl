{{/* Labels that select a component's pods; they never change. Call with (dict "root" $ "component" "gateway"). */}}
{{- define "aperium.selectorLabels" -}}
app.kubernetes.io/name: aperium-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* Labels of a component's pods: nothing that changes with the chart alone, or every upgrade would restart them. */}}
{{- define "aperium.podLabels" -}}
{{ include "aperium.selectorLabels" . }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: aperium
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of every object. Call with (dict "root" $ "component" "gateway"). */}}
{{- define "aperium.labels" -}}
{{ include "aperium.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: aperium
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The watched namespaces as a JSON list: the own one always, as Grants for all the others are there. */}}
{{- define "aperium.namespaces" -}}
{{- concat (list .Release.Namespace) .Values.watchNamespaces | uniq | toJson -}}
{{- end }}

{{/* registry/repository@digest or :tag. Call with (dict "root" $ "image" .Values.gateway.image). */}}
{{- define "aperium.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- $name := printf "%s/%s" $registry .image.repository -}}
{{- if .image.digest -}}
{{ printf "%s@%s" $name .image.digest }}
{{- else -}}
{{ printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{/* Security context of every container: the restricted profile and a root file system that nobody writes to. */}}
{{- define "aperium.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end }}

{{/* Where a pod may run. Call with (dict "root" $ "component" "gateway" "values" .Values.gateway). */}}
{{- define "aperium.scheduling" -}}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
{{- if .values.affinity }}
  {{- toYaml .values.affinity | nindent 2 }}
{{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "aperium.selectorLabels" . | nindent 14 }}
{{- end }}
topologySpreadConstraints:
  - topologyKey: topology.kubernetes.io/zone
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "aperium.selectorLabels" . | nindent 8 }}
    matchLabelKeys:
      - pod-template-hash
{{- end }}

{{/* Who a process is and how much it logs. Call with (dict "root" $ "values" .Values.gateway). */}}
{{- define "aperium.env" -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_IPS
  valueFrom:
    fieldRef:
      fieldPath: status.podIPs
- name: RUST_LOG
  value: {{ .root.Values.logLevel | quote }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Probes on the admin port: alive is the process, ready is fail closed. */}}
{{- define "aperium.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: admin
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet:
    path: /healthz
    port: admin
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{/* Running requests end before the kubelet ends the process. */}}
{{- define "aperium.gracePeriodSeconds" -}}
{{- add (int .Values.settings.limits.drainSeconds) 10 -}}
{{- end }}

{{/* Pods of the services that the operator runs, in the watched namespaces: a list for `from` or `to`. */}}
{{- define "aperium.servicePeers" -}}
- namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values:
          {{- include "aperium.namespaces" . | fromJsonArray | toYaml | nindent 10 }}
  podSelector:
    matchLabels:
      app.kubernetes.io/name: aperium-mcp
      app.kubernetes.io/managed-by: aperium-operator
{{- end }}

{{/* The namespaces of backends as a JSON list. */}}
{{- define "aperium.clientNamespaces" -}}
{{- .Values.settings.services.clientNamespaces | default (list .Release.Namespace) | uniq | toJson -}}
{{- end }}

{{/* Backends: labelled pods of the client namespaces. */}}
{{- define "aperium.clientPeers" -}}
- namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values:
          {{- include "aperium.clientNamespaces" . | fromJsonArray | toYaml | nindent 10 }}
  podSelector:
    matchLabels:
      aperium.dev/mcp-client: "true"
{{- end }}

{{/* The metrics, for the monitoring namespace only. */}}
{{- define "aperium.monitoringIngress" -}}
{{- with .Values.settings.services.monitoringNamespace }}
# Metrics. Probes of the kubelet need no rule: Kubernetes lets a node reach its own pods.
- from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ . }}
  ports:
    - port: admin
      protocol: TCP
{{- end }}
{{- end }}

{{/* Egress that every component needs: names, the API server, the services' pods. */}}
{{- define "aperium.commonEgress" -}}
# Names, from whatever serves DNS in this cluster.
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
    # OpenShift's DNS pods listen here; policies see the pod's port, not the Service's.
    - port: 5353
      protocol: UDP
    - port: 5353
      protocol: TCP
# The API server: watches, status, TokenReviews.
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.apiServerCIDRs }}
  to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  {{- end }}
# The services' pods, on whatever port a Connector names.
- to:
    {{- include "aperium.servicePeers" . | nindent 4 }}
{{- end }}
