{{- /* As deploy/base/daemonset.yaml and deploy/privilege have it, where each line has its reason; test/deploy compares. */ -}}
{{- define "node-ca-trust.securityContext" -}}
{{- $writer := eq .Values.privilege "writer" -}}
{{- $user := $writer | ternary 9641 0 -}}
privileged: {{ eq .Values.privilege "full" }}
runAsUser: {{ $user }}
runAsGroup: {{ $user }}
readOnlyRootFilesystem: true
{{- if $writer }}
runAsNonRoot: true
{{- end }}
{{- if ne .Values.privilege "full" }}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  {{- if not $writer }}
  add: [SYS_CHROOT]
  {{- end }}
{{- end }}
{{- if eq .Values.privilege "restricted" }}
seccompProfile:
  type: RuntimeDefault
{{- end }}
{{- end -}}

{{- /* What of the node is mounted below /host. Without a type it is nothing of the node: a directory of the pod's own. */ -}}
{{- define "node-ca-trust.mounts" -}}
{{- if eq .Values.privilege "full" -}}
- {name: host, path: /, type: Directory, options: {mountPropagation: HostToContainer}}
{{- else -}}
- {name: usr, path: /usr, type: Directory, options: {readOnly: true}}
- {name: etc, path: /etc, type: Directory, options: {readOnly: true}}
{{- if eq .Values.privilege "restricted" }}
- {name: proc, path: /proc, type: Directory, options: {readOnly: true, recursiveReadOnly: IfPossible}}
- {name: "null", path: /dev/null, type: CharDevice}
- {name: tmp, path: /tmp}
{{- end }}
- {name: anchors, path: /usr/local/share/ca-certificates, type: Directory}
{{- if eq .Values.privilege "restricted" }}
- {name: ssl, path: /etc/ssl, type: Directory}
- {name: openssl, path: /etc/ssl/openssl.cnf, type: File, options: {readOnly: true}}
{{- end }}
- {name: state, path: /var/lib/node-ca-trust, type: DirectoryOrCreate}
{{- if eq .Values.privilege "restricted" }}
{{- $above := list }}
{{- range .Values.registryDirectories }}
{{- if not (hasPrefix "/etc/" .) }}
{{- $above = append $above (dir .) | uniq }}
{{- end }}
{{- end }}
{{- range $index, $path := $above }}
- {name: runtime-{{ $index }}, path: {{ $path | quote }}, type: DirectoryOrCreate, options: {readOnly: true}}
{{- end }}
{{- range $index, $path := .Values.registryDirectories }}
- {name: registries-{{ $index }}, path: {{ $path | quote }}, type: DirectoryOrCreate}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
