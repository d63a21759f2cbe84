{{/* The SeldonDeployment's name. Seldon makes Service names of it and the predictor's: 63 characters in all. */}}
{{- define "model.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* A predictor is named after its bundle, as the rollout controller names a candidate. */}}
{{- define "model.predictor" -}}
p-{{ .Values.bundle.digest | trimPrefix "sha256:" | trunc 10 }}
{{- end }}

{{- define "model.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: serinus
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "model.image" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s/%s" $root.Values.image.registry (index . 1) -}}
{{- if index . 2 -}}
{{ $name }}@{{ index . 2 }}
{{- else -}}
{{ $name }}:{{ default $root.Chart.AppVersion $root.Values.image.tag }}
{{- end -}}
{{- end }}

{{- define "model.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "model.name" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "model.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where payload events go: to the sidecar, else to the URL given, else nowhere. */}}
{{- define "model.payloads" -}}
{{- if .Values.drift.enabled -}}
http://127.0.0.1:8090/
{{- else -}}
{{ .Values.payloads.url }}
{{- end -}}
{{- end }}

{{- define "model.keysVolume" -}}
- name: keys
  {{- if .Values.keys.secret }}
  secret: {secretName: {{ .Values.keys.secret }}}
  {{- else }}
  configMap: {name: {{ default (printf "%s-keys" (include "model.name" .)) .Values.keys.configMap }}}
  {{- end }}
{{- end }}
