{{- /*
What the schema cannot say, and what else would be seen on the nodes alone. Each is one line: where, what, what to do.
Takes the values of all agents, the release's own first.
*/ -}}
{{- define "node-ca-trust.refuse" -}}
{{- $own := first . -}}
{{- $privileges := list -}}
{{- range $index, $agent := . -}}
{{- $privileges = append $privileges .privilege -}}
{{- $at := eq $index 0 | ternary "" (printf "pools[%d] (%s): " (sub $index 1) .instance) -}}
{{- include "node-ca-trust.refuseSources" (dict "agent" . "at" $at) -}}
{{- include "node-ca-trust.refuseNumbers" (dict "agent" . "at" $at) -}}
{{- include "node-ca-trust.refusePrivilege" (dict "agent" . "at" $at) -}}
{{- range $other := slice $ 0 $index -}}
{{- include "node-ca-trust.refuseTogether" (dict "agent" $agent "other" $other "at" $at) -}}
{{- end -}}
{{- end -}}
{{- $usual := list "/etc/containerd/certs.d" "/etc/docker/certs.d" "/etc/containers/certs.d" -}}
{{- if and $own.registryDirectories (eq $own.privilege "writer") (not (has "restricted" $privileges)) (ne (toJson $own.registryDirectories) (toJson $usual)) -}}
{{- fail "registryDirectories: no agent here writes in them: privilege writer leaves the runtimes alone; give it none (registryDirectories: []), or choose privilege restricted" -}}
{{- end -}}
{{- end -}}

{{- define "node-ca-trust.refuseSources" -}}
{{- with .agent -}}
{{- if and .secretName .bundleVolume -}}
{{- fail (printf "%ssecretName: %s: bundleVolume stands in the place of the Secret; choose one of the two" $.at .secretName) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "node-ca-trust.refuseNumbers" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- with .agent -}}
{{- $resync := default "10m" .resync -}}
{{- $ms := mul (regexFind "^[0-9]+" $resync | atoi) (get $units (regexFind "[a-z]+$" $resync)) -}}
{{- if or (lt $ms 1000) (gt $ms 2073600000) -}}
{{- fail (printf "%sresync: %s: the agent takes 1s to 24d; choose one of these, such as 10m" $.at .resync) -}}
{{- end -}}
{{- if and (lt (int .port) 1024) (ne .privilege "full") -}}
{{- fail (printf "%sport: %d: privilege %s may not listen below 1024; choose a port from 1024 on, or privilege full" $.at (int .port) .privilege) -}}
{{- end -}}
{{- range concat (default list .probes) (default list .registries) -}}
{{- if gt (regexFind ":[0-9]+$" . | trimPrefix ":" | default "0" | atoi) 65535 -}}
{{- fail (printf "%sprobes, registries: %s: no port is above 65535; mend it" $.at .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* As docs/privileges.md has it. */ -}}
{{- define "node-ca-trust.refusePrivilege" -}}
{{- with .agent -}}
{{- if and (eq .runtimeRefresh "restart") (ne .privilege "full") -}}
{{- fail (printf "%sruntimeRefresh: restart: privilege %s cannot restart a runtime; choose auto or off, or privilege full" $.at .privilege) -}}
{{- end -}}
{{- if and (eq .runtimeRefresh "certs.d") (eq .privilege "writer") -}}
{{- fail (printf "%sruntimeRefresh: certs.d: privilege writer sees no runtime, so it would never say that one does not work; choose auto or off, or another privilege" $.at) -}}
{{- end -}}
{{- if and .registries (eq .privilege "writer") -}}
{{- fail (printf "%sregistries: privilege writer leaves the runtimes alone; give it none (registries: []), or choose privilege restricted" $.at) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Two agents of one node. Labels of one key and different values are never on the same. */ -}}
{{- define "node-ca-trust.refuseTogether" -}}
{{- $own := .agent -}}
{{- $other := .other -}}
{{- $at := .at -}}
{{- range $label := $own.nodeLabels -}}
{{- if has $label $other.nodeLabels -}}
{{- fail (printf "%snodeLabels: %s enables instance %s too; give each a label of its own: a node may bear both" $at $label $other.instance) -}}
{{- end -}}
{{- end -}}
{{- if eq (int $own.port) (int $other.port) -}}
{{- range $label := $own.nodeLabels -}}
{{- range $another := $other.nodeLabels -}}
{{- if ne (splitn "=" 2 $label)._0 (splitn "=" 2 $another)._0 -}}
{{- fail (printf "%sport: %d is that of instance %s too, and a node may bear %s and %s; choose another" $at (int $own.port) $other.instance $label $another) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
