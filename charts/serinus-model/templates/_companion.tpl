{{/* What every pod of a model has alike: the bundle's fetcher, and the pods that stand beside the predictors. */}}
{{- define "model.bundleContainer" -}}
- name: bundle
  image: {{ include "model.image" (list . "scorer" .Values.scorer.digest) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [python3, -m, serving.scorer.fetch]
  env:
    - {name: SERINUS_BUNDLE_URI, value: {{ .Values.bundle.uri | quote }}}
    - {name: SERINUS_BUNDLE_DIGEST, value: {{ .Values.bundle.digest | quote }}}
    - {name: SERINUS_FETCH_TIMEOUT, value: {{ .Values.bundle.timeout }}}
    {{- with .Values.storage.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  # The reason stands in the pod's status.
  terminationMessagePolicy: FallbackToLogsOnError
  {{- with .Values.storage.secret }}
  envFrom:
    - secretRef: {name: {{ . }}}
  {{- end }}
  resources:
    requests: {cpu: 50m, memory: 128Mi}
    limits: {memory: 512Mi}
  securityContext:
    {{- include "model.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: bundle, mountPath: /mnt/bundle}
    - {name: keys, mountPath: /etc/serinus/keys, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    {{- if .Values.storage.volume }}
    - {name: models, mountPath: {{ .Values.storage.mountPath }}, readOnly: true}
    {{- end }}
{{- end }}

{{/* A pod beside the predictors: who it runs as. */}}
{{- define "model.companionPod" -}}
serviceAccountName: {{ include "model.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
initContainers:
  {{- include "model.bundleContainer" . | nindent 2 }}
{{- end }}

{{/* Its volumes, but for its own. */}}
{{- define "model.companionVolumes" -}}
- name: bundle
  emptyDir: {sizeLimit: {{ .Values.bundle.sizeLimit }}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{ include "model.keysVolume" . }}
{{- if .Values.storage.volume }}
- name: models
  {{- toYaml .Values.storage.volume | nindent 2 }}
{{- end }}
{{- end }}

{{/* The volume of its state: (root, component, persistence). */}}
{{- define "model.stateVolume" -}}
{{- $root := index . 0 -}}
{{- $kept := index . 2 -}}
- name: state
  {{- if $kept.enabled }}
  persistentVolumeClaim: {claimName: {{ default (printf "%s-%s" (include "model.name" $root) (index . 1)) $kept.existingClaim }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ $kept.size }}}
  {{- end }}
{{- end }}

{{/* The claim of its state: (root, component, persistence). */}}
{{- define "model.stateClaim" -}}
{{- $root := index . 0 -}}
{{- $kept := index . 2 -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ include "model.name" $root }}-{{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "model.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ index . 1 }}
  annotations:
    # What was gathered outlives the release.
    helm.sh/resource-policy: keep
spec:
  accessModes: [ReadWriteOnce]
  {{- with $kept.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ $kept.size }}
{{- end }}

{{/* Its pods' labels, by which they are chosen: (root, component). */}}
{{- define "model.companionSelector" -}}
app.kubernetes.io/name: {{ (index . 0).Chart.Name }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Its Service: (root, component, port). */}}
{{- define "model.companionService" -}}
{{- $root := index . 0 -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "model.name" $root }}-{{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "model.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ index . 1 }}
spec:
  type: ClusterIP
  selector:
    {{- include "model.companionSelector" (list $root (index . 1)) | nindent 4 }}
  ports:
    - {name: http, port: {{ index . 2 }}, targetPort: metrics, appProtocol: http}
{{- end }}
