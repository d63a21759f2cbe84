{{/* The pod of a predictor, as Seldon's componentSpecs want it: the scorer first, then the sidecar. */}}
{{- define "model.pod" -}}
{{- $payloads := include "model.payloads" . }}
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
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
terminationGracePeriodSeconds: {{ add .Values.scorer.drainDelay .Values.scorer.drainTimeout 5 }}
initContainers:
  {{- include "model.bundleContainer" . | nindent 2 }}
containers:
  - name: scorer
    terminationMessagePolicy: FallbackToLogsOnError
    image: {{ include "model.image" (list . "scorer" .Values.scorer.digest) }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
      - --bundle=/mnt/bundle
      # Seldon calls the graph's node what it likes; clients, metrics and alerts want the model's name.
      - --model={{ include "model.id" . }}
      - --home=/var/lib/serinus
      - --keys=/etc/serinus/keys
      {{- if .Values.decisions.kafka }}
      - --log={{ .Values.decisions.kafka }}
      {{- else }}
      # One file for each writer.
      - --log=/var/lib/serinus/decisions/{{ include "model.id" . }}-$(POD_NAME).jsonl
      {{- end }}
      - --feedback=/var/lib/serinus/decisions/{{ include "model.id" . }}-$(POD_NAME).feedback.jsonl
      - --durability={{ .Values.decisions.durability }}
      - --explain={{ .Values.scorer.explain }}
      {{- if and $payloads (not .Values.executor) }}
      - --payload-url={{ $payloads }}
      - --payload-mode={{ .Values.payloads.mode }}
      {{- end }}
      - --drain-delay={{ .Values.scorer.drainDelay }}
      - --drain-timeout={{ .Values.scorer.drainTimeout }}
      {{- with .Values.scorer.extraArgs }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    env:
      - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
      - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
      {{- include "model.privacyEnv" . | nindent 6 }}
      {{- with .Values.scorer.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      # Given, since Seldon counts metrics ports over all predictors: removing one would restart the others.
      - {name: metrics, containerPort: 6000, protocol: TCP}
      - {name: http, containerPort: 9000, protocol: TCP}
      - {name: grpc, containerPort: 9500, protocol: TCP}
    startupProbe:
      httpGet: {path: /ready, port: 9000}
      periodSeconds: 1
      failureThreshold: {{ .Values.scorer.startupSeconds }}
    readinessProbe:
      httpGet: {path: /ready, port: 9000}
      periodSeconds: 2
      failureThreshold: 2
    livenessProbe:
      httpGet: {path: /live, port: 9000}
      periodSeconds: 10
      failureThreshold: 3
      timeoutSeconds: 3
    lifecycle:
      # In place of the ten seconds that Seldon waits: the scorer itself answers on during its drain.
      preStop: {exec: {command: [/bin/sh, -c, "exit 0"]}}
    resources:
      {{- toYaml .Values.scorer.resources | nindent 6 }}
    securityContext:
      {{- include "model.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - {name: bundle, mountPath: /mnt/bundle, readOnly: true}
      - {name: home, mountPath: /var/lib/serinus}
      - {name: keys, mountPath: /etc/serinus/keys, readOnly: true}
      - {name: tmp, mountPath: /tmp}
      {{- include "model.privacyMounts" . | nindent 6 }}
      {{- with .Values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- if .Values.drift.enabled }}
  - name: drift
    terminationMessagePolicy: FallbackToLogsOnError
    image: {{ include "model.image" (list . "drift" .Values.drift.digest) }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
      {{- include "model.driftArgs" . | nindent 6 }}
      {{- if .Values.monitor.enabled }}
      # It counts, and the monitor of all predictors judges.
      - --forward={{ include "model.monitorUrl" . }}
      {{- end }}
    ports:
      # So named, Prometheus finds it beside the scorer's; a pod's containers may name their ports alike.
      - {name: metrics, containerPort: 8090, protocol: TCP}
    # No readiness probe: a monitor that is not there yet must not keep traffic from the scorer.
    livenessProbe:
      httpGet: {path: /health/live, port: 8090}
      initialDelaySeconds: 30
      periodSeconds: 20
      failureThreshold: 6
      timeoutSeconds: 5
    resources:
      {{- toYaml .Values.drift.resources | nindent 6 }}
    securityContext:
      {{- include "model.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - {name: bundle, mountPath: /mnt/bundle, readOnly: true}
      - {name: keys, mountPath: /etc/serinus/keys, readOnly: true}
      - {name: drift, mountPath: /var/lib/serinus}
      - {name: tmp, mountPath: /tmp}
  {{- end }}
  {{- if eq (include "model.ships" .) "true" }}
  - name: outcomes
    terminationMessagePolicy: FallbackToLogsOnError
    image: {{ include "model.image" (list . "scorer" .Values.scorer.digest) }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [python3, -m, serving.outcomes.ship]
    args:
      {{- if eq (include "model.shipsToOutcomes" .) "true" }}
      - --to={{ include "model.outcomesUrl" . }}
      {{- end }}
      {{- with .Values.decisions.archive }}
      - --archive={{ . }}
      {{- end }}
      - --logs=/var/lib/serinus/decisions
      - --decisions={{ include "model.id" . }}-$(POD_NAME)*.jsonl
      - --feedback={{ include "model.id" . }}-$(POD_NAME).feedback*.jsonl
      - --state=/var/lib/outcomes/places.json
      - --alive=/var/lib/outcomes/alive
      # Until the scorer has answered its last request, and a moment more.
      - --linger={{ add .Values.scorer.drainDelay .Values.scorer.drainTimeout 1 }}s
    env:
      - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    # No readiness probe: labels must not keep traffic from the scorer.
    livenessProbe:
      exec: {command: [/bin/sh, -c, "[ $(($(date +%s) - $(stat -c %Y /var/lib/outcomes/alive))) -lt 120 ]"]}
      initialDelaySeconds: 30
      periodSeconds: 30
      failureThreshold: 4
      timeoutSeconds: 5
    resources:
      {{- toYaml .Values.outcomes.senderResources | nindent 6 }}
    securityContext:
      {{- include "model.containerSecurity" . | nindent 6 }}
    volumeMounts:
      # What is evidence is read here, and written by its scorer alone.
      - {name: home, mountPath: /var/lib/serinus, readOnly: true}
      - {name: outcomes, mountPath: /var/lib/outcomes}
      - {name: tmp, mountPath: /tmp}
  {{- end }}
volumes:
  - name: bundle
    emptyDir: {sizeLimit: {{ .Values.bundle.sizeLimit }}}
  - name: home
    {{- if .Values.decisions.existingClaim }}
    persistentVolumeClaim: {claimName: {{ .Values.decisions.existingClaim }}}
    {{- else }}
    emptyDir: {sizeLimit: {{ .Values.decisions.size }}}
    {{- end }}
  - name: tmp
    emptyDir: {sizeLimit: 256Mi}
  {{- if .Values.drift.enabled }}
  - name: drift
    emptyDir: {sizeLimit: 64Mi}
  {{- end }}
  {{- if eq (include "model.ships" .) "true" }}
  - name: outcomes
    emptyDir: {sizeLimit: 16Mi}
  {{- end }}
  {{- include "model.keysVolume" . | nindent 2 }}
  {{- include "model.privacyVolumes" . | nindent 2 }}
  {{- if .Values.storage.volume }}
  - name: models
    {{- toYaml .Values.storage.volume | nindent 4 }}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .Values.affinity }}
affinity:
  {{- toYaml .Values.affinity | nindent 2 }}
{{- else }}
# A node that is lost takes some of the replicas, not all.
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {seldon-deployment-id: {{ include "model.name" . }}}
{{- end }}
{{- end }}
