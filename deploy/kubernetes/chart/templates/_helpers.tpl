{{/* Labels of everything; what selects a component adds app.kubernetes.io/component. */}}
{{- define "rheobase.selector" -}}
app.kubernetes.io/name: rheobase
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rheobase.labels" -}}
{{ include "rheobase.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{/* The command that wants a pool. */}}
{{- define "rheobase.launch" -}}
{{- $pool := .pool -}}
rheo launch kubernetes --name {{ required "a pool has no name" $pool.name | squote }} --max {{ required (printf "pool `%s` has no max" $pool.name) $pool.max | int }}
{{- with $pool.min }} --min {{ . | int }}{{ end }}
{{- with $pool.sweep }} --sweep {{ . | squote }}{{ end }}
{{- with $pool.cpus }} --cpus {{ . | int }}{{ end }}
{{- with $pool.memory }} --memory {{ . | squote }}{{ end }}
{{- with $pool.gpus }} --gpus {{ . | int }}{{ end }}
{{- with $pool.memoryMb }} --memory-mb {{ . | int }}{{ end }}
{{- with $pool.image }} --image {{ . | squote }}{{ end }}
{{- range $key, $value := $pool.nodeSelector }} --node-selector {{ printf "%s=%s" $key $value | squote }}{{ end }}
{{- range $pool.tolerations }} --toleration {{ . | squote }}{{ end }}
{{- with $pool.priorityClass }} --priority-class {{ . | squote }}{{ end }}
{{- with $pool.dataClaim }} --data-claim {{ . | squote }}{{ end }}
{{- with $pool.data }} --data {{ . | squote }}{{ end }}
{{- with $pool.grace }} --grace {{ . | int }}{{ end }}
{{- with $pool.idleTimeout }} --idle-timeout {{ . | int }}{{ end }}
{{- range .root.Values.imagePullSecrets }} --image-pull-secret {{ . | squote }}{{ end }} --image-pull-policy {{ .root.Values.imagePullPolicy }} --service-account {{ .root.Release.Name }}-worker
{{- if and .root.Values.tls.existingSecret (not .root.Values.tls.publicCA) }} --pod-ca-file /etc/rheo-tls/ca.crt{{ end }}
{{- end -}}

{{/* What both containers of the coordinator see and may. */}}
{{- define "rheobase.env" -}}
- name: RHEO_STATE
  value: /var/lib/rheo
- name: RHEO_IMAGE
  value: {{ .Values.workerImage }}
{{- if .Values.tls.existingSecret }}
- name: RHEO_TLS_CERT
  value: /etc/rheo-tls/tls.crt
- name: RHEO_TLS_KEY
  value: /etc/rheo-tls/tls.key
{{- if not .Values.tls.publicCA }}
- name: RHEO_CA_FILE
  value: /etc/rheo-tls/ca.crt
{{- end }}
{{- end }}
{{- if .Values.tokens.existingSecret }}
- name: RHEO_TOKEN_FILE
  value: /etc/rheo-tokens/admin.token
- name: RHEO_WORKER_TOKEN_FILE
  value: /etc/rheo-tokens/worker.token
{{- end }}
{{- end -}}

{{- define "rheobase.mounts" -}}
- name: state
  mountPath: /var/lib/rheo
- name: tmp
  mountPath: /tmp
{{- if .Values.tls.existingSecret }}
- name: tls
  mountPath: /etc/rheo-tls
  readOnly: true
{{- end }}
{{- if .Values.tokens.existingSecret }}
- name: tokens
  mountPath: /etc/rheo-tokens
  readOnly: true
{{- end }}
{{- end -}}

{{- define "rheobase.strict" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
