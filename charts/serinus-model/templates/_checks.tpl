{{/* What a schema cannot say, told before anything is changed. */}}
{{- define "model.checks" -}}
{{- $named := 0 }}
{{- if .Values.keys.configMap }}{{ $named = add1 $named }}{{ end }}
{{- if .Values.keys.secret }}{{ $named = add1 $named }}{{ end }}
{{- if .Values.keys.public }}{{ $named = add1 $named }}{{ end }}
{{- if ne (int $named) 1 }}
{{- fail (printf "keys: %d of keys.configMap, keys.secret and keys.public are set; set exactly one. It holds the public keys (trusted-*.pem) whose signature on a bundle counts." (int $named)) }}
{{- end }}
{{- if and (hasPrefix "file://" .Values.bundle.uri) (not .Values.storage.volume) }}
{{- fail (printf "bundle.uri is %s, and storage.volume is not set: name the volume that holds it, such as persistentVolumeClaim: {claimName: models}; it is mounted at storage.mountPath (%s)." .Values.bundle.uri .Values.storage.mountPath) }}
{{- end }}
{{- if and .Values.drift.enabled .Values.payloads.url }}
{{- fail "payloads.url and drift.enabled: payload events go to one place. Set drift.enabled=false to send them elsewhere, or leave payloads.url empty." }}
{{- end }}
{{- if and .Values.monitor.enabled .Values.payloads.url }}
{{- fail "payloads.url and monitor.enabled: payload events go to one place. Leave payloads.url empty, or set monitor.enabled=false." }}
{{- end }}
{{- if and .Values.monitor.enabled (not .Values.drift.enabled) (ne .Values.payloads.mode "all") }}
{{- fail (printf "payloads.mode is %s, and the monitor judges requests and answers: set payloads.mode=all." .Values.payloads.mode) }}
{{- end }}
{{- if and .Values.privacy.existingClaim .Values.privacy.url }}
{{- fail "privacy.existingClaim and privacy.url: the keys of persons lie in one place. Set one of them." }}
{{- end }}
{{- if and .Values.privacy.passwordSecret (not .Values.privacy.url) }}
{{- fail "privacy.passwordSecret is of the server that privacy.url names: set that too." }}
{{- end }}
{{- if ne (and (empty .Values.privacy.existingClaim) (empty .Values.privacy.url)) (empty .Values.privacy.masterKeySecret) }}
{{- fail "privacy.existingClaim (or privacy.url) and privacy.masterKeySecret: set both, or neither. The claim or the server holds the keys of persons, and the Secret the key that opens them." }}
{{- end }}
{{- if and .Values.decisions.kafka .Values.decisions.existingClaim }}
{{- fail "decisions.kafka and decisions.existingClaim: the decision log has one place; set one of them." }}
{{- end }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas (%d) is above autoscaling.maxReplicas (%d)." (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- end }}
{{- /* A champion that a rollout brought in is not taken back by an upgrade that does not know of it. */}}
{{- $name := include "model.name" . }}
{{- $wanted := include "model.predictor" . }}
{{- $live := dict }}
{{- if .Capabilities.APIVersions.Has "machinelearning.seldon.io/v1" }}
{{- $live = lookup "machinelearning.seldon.io/v1" "SeldonDeployment" .Release.Namespace $name }}
{{- end }}
{{- if and $live (not .Values.replaceChampion) }}
{{- $serving := list }}
{{- range $live.spec.predictors }}{{ $serving = append $serving .name }}{{ end }}
{{- if gt (len $serving) 1 }}
{{- fail (printf "SeldonDeployment %s serves %s: a rollout is under way, and an upgrade would put an end to it. Wait for it (kubectl get mro), abort it, or set replaceChampion=true." $name (join " and " $serving)) }}
{{- else if not (has $wanted $serving) }}
{{- fail (printf "SeldonDeployment %s serves %s, and bundle.digest names %s. If a rollout promoted the former, set bundle.uri and bundle.digest to what serves (kubectl get sdep %s -o yaml); to let a new version in, start a ModelRollout; to replace it at once and without evidence, set replaceChampion=true." $name (join " and " $serving) $wanted $name) }}
{{- end }}
{{- end }}
{{- end }}
