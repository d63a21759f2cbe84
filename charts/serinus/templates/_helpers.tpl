{{- define "serinus.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "serinus.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "serinus.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "serinus.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "serinus.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: serinus
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{ include "serinus.selector" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "serinus.selector" -}}
app.kubernetes.io/name: {{ include "serinus.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* An image by digest where one is given, else by tag. Takes a list: root, name, digest. */}}
{{- define "serinus.image" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s/%s" $root.Values.image.registry (index . 1) -}}
{{- if index . 2 -}}
{{ $name }}@{{ index . 2 }}
{{- else -}}
{{ $name }}:{{ default $root.Chart.AppVersion $root.Values.image.tag }}
{{- end -}}
{{- end }}

{{/* What restricted Pod Security asks of a pod, and of a container. */}}
{{- define "serinus.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "serinus.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Not empty where the Prometheus operator's objects are wanted. */}}
{{- define "serinus.operator" -}}
{{- if or (eq .Values.monitoring.operator "always") (and (eq .Values.monitoring.operator "auto") (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
yes
{{- end -}}
{{- end }}

{{/* Below docs/ and /d/ of these addresses lie runbooks and dashboards. */}}
{{- define "serinus.linked" -}}
{{- $root := index . 0 -}}
{{- $text := index . 1 -}}
{{- with $root.Values.monitoring.runbooks -}}
{{- $text = $text | replace "runbook_url: docs/" (printf "runbook_url: %s/docs/" (trimSuffix "/" .)) -}}
{{- end -}}
{{- with $root.Values.monitoring.grafanaUrl -}}
{{- $text = $text | replace "dashboard_url: /d/" (printf "dashboard_url: %s/d/" (trimSuffix "/" .)) -}}
{{- end -}}
{{- $text -}}
{{- end }}
