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

{{/* The model's name in metrics, alerts and the decision log. */}}
{{- define "model.id" -}}
{{- default (include "model.name" .) .Values.model -}}
{{- end }}

{{- define "model.monitorUrl" -}}
http://{{ include "model.name" . }}-drift.{{ .Release.Namespace }}:8090
{{- end }}

{{- define "model.outcomesUrl" -}}
http://{{ include "model.name" . }}-outcomes.{{ .Release.Namespace }}:8091
{{- end }}

{{/* Whether pods send their logs to the outcomes program, which cannot read them where they lie. Feedback lies in
     the pod where decisions go to Kafka too. */}}
{{- define "model.shipsToOutcomes" -}}
{{- and .Values.outcomes.enabled (not .Values.decisions.existingClaim) -}}
{{- end }}

{{/* Whether pods send their logs anywhere. */}}
{{- define "model.ships" -}}
{{- or (eq (include "model.shipsToOutcomes" .) "true") (not (empty .Values.decisions.archive)) -}}
{{- end }}

{{/* Where payload events go: to the sidecar, else to the one monitor, else to the URL given, else nowhere. */}}
{{- define "model.payloads" -}}
{{- if .Values.drift.enabled -}}
http://127.0.0.1:8090/
{{- else if .Values.monitor.enabled -}}
{{ include "model.monitorUrl" . }}/
{{- else -}}
{{ .Values.payloads.url }}
{{- end -}}
{{- end }}

{{/* What the sidecar and the one monitor are told alike. */}}
{{- define "model.driftArgs" -}}
- --bundle=/mnt/bundle
- --model={{ include "model.id" . }}
- --keys=/etc/serinus/keys
- --host=0.0.0.0
- --port=8090
# Where counts are judged there are no rows to test.
- --detector={{ ternary "none" .Values.drift.detector (and .Values.monitor.enabled .Values.drift.enabled) }}
- --look={{ .Values.drift.look }}
- --false-alarm-every={{ .Values.drift.falseAlarmEvery }}
- --min-effect={{ .Values.drift.minEffect }}
- --window={{ .Values.drift.window }}
- --max-age={{ .Values.drift.maxAge }}
# Evidence survives the container; that of a pod goes with the pod.
- --state=/var/lib/serinus/drift
{{- with .Values.drift.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "model.keysVolume" -}}
- name: keys
  {{- if .Values.keys.secret }}
  secret: {secretName: {{ .Values.keys.secret }}}
  {{- else }}
  configMap: {name: {{ default (printf "%s-keys" (include "model.name" .)) .Values.keys.configMap }}}
  {{- end }}
{{- end }}

{{/* The keys of persons by which decisions are sealed: one store for all pods, opened by a master key. */}}
{{- define "model.privacyEnv" -}}
{{- with .Values.privacy }}
{{- if or .existingClaim .url }}
- {name: SERINUS_SUBJECT_KEYS, value: {{ default "/var/lib/subjects/keys.db" .url | quote }}}
{{- if .passwordSecret }}
- {name: SERINUS_SUBJECT_KEYS_PASSWORD_FILE, value: /etc/serinus/subjects/password}
{{- end }}
- {name: SERINUS_MASTER_KEY, value: /etc/serinus/master/master.key}
{{- end }}
{{- end }}
{{- end }}

{{- define "model.privacyMounts" -}}
{{- with .Values.privacy }}
{{- if .existingClaim }}
- {name: subjects, mountPath: /var/lib/subjects}
{{- end }}
{{- if .passwordSecret }}
- {name: subjects-password, mountPath: /etc/serinus/subjects, readOnly: true}
{{- end }}
{{- if .masterKeySecret }}
- {name: master, mountPath: /etc/serinus/master, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "model.privacyVolumes" -}}
{{- with .Values.privacy }}
{{- if .existingClaim }}
- name: subjects
  persistentVolumeClaim: {claimName: {{ .existingClaim }}}
{{- end }}
{{- if .passwordSecret }}
- name: subjects-password
  secret: {secretName: {{ .passwordSecret }}, defaultMode: 0440}
{{- end }}
{{- if .masterKeySecret }}
- name: master
  # The group's, since the pods' user is not root.
  secret: {secretName: {{ .masterKeySecret }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end }}

{{/* The way to the keys' server, in a NetworkPolicy. */}}
{{- define "model.privacyEgress" -}}
{{- with .Values.privacy.url }}
# The server of persons' keys, which has no label that a policy could name.
- ports:
    {{- /* Each host has a port of its own. */}}
    {{- $ports := list }}
    {{- range splitList "," (regexReplaceAll "^[^/]*//([^@/]*@)?([^/]*)/.*$" . "${2}") }}
    {{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "5432") }}
    {{- end }}
    {{- range uniq $ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}
{{- end }}
