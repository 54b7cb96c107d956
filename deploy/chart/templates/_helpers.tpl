{{- /* The values of each agent: the release's own, and for every pool the same with the pool's in their place. */ -}}
{{- define "node-ca-trust.agents" -}}
{{- $own := omit .Values "pools" -}}
{{- $agents := list $own -}}
{{- $instances := list $own.instance -}}
{{- range .Values.pools -}}
{{- $agent := deepCopy $own -}}
{{- /* Its CAs are its own, whatever the release's agent mounts. */ -}}
{{- $_ := set $agent "secretName" "" -}}
{{- $_ := set $agent "bundleVolume" dict -}}
{{- range $key, $value := . -}}
{{- $_ := set $agent $key $value -}}
{{- end -}}
{{- $agents = append $agents $agent -}}
{{- $instances = append $instances .instance -}}
{{- end -}}
{{- if ne (len (uniq $instances)) (len $instances) -}}
{{- fail (printf "pools: each needs an instance of its own; here are %s" (join ", " $instances)) -}}
{{- end -}}
{{- include "node-ca-trust.refuse" $agents -}}
{{- toYaml $agents -}}
{{- end -}}

{{- /* The name of everything: it carries the instance, and not the release, whose name means nothing on a node. */ -}}
{{- define "node-ca-trust.name" -}}
node-ca-trust{{ if ne .Values.instance "default" }}-{{ .Values.instance }}{{ end }}
{{- end -}}

{{- define "node-ca-trust.secretName" -}}
{{ .Values.secretName | default (include "node-ca-trust.name" .) }}
{{- end -}}

{{- define "node-ca-trust.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- /* A DaemonSet's selector can never be changed, so it holds no more than it needs. */ -}}
{{- define "node-ca-trust.selector" -}}
app.kubernetes.io/name: node-ca-trust
app.kubernetes.io/instance: {{ .Values.instance | quote }}
{{- end -}}

{{- /* Labels of the objects, not of the pods: a new version of the chart alone restarts no agent. */ -}}
{{- define "node-ca-trust.labels" -}}
app.kubernetes.io/part-of: node-ca-trust
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* What decides whether a bundle is valid: the same for the agent and for the test. */ -}}
{{- define "node-ca-trust.rules" -}}
- name: NODE_CA_TRUST_ALLOW_EMPTY
  value: {{ .Values.allowEmpty | quote }}
- name: NODE_CA_TRUST_ALLOW_LEAF
  value: {{ .Values.allowLeaf | quote }}
{{- end -}}
