{{- define "squall.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* A release that is called as the chart is has its name once. 48 characters leave room for what follows. */}}
{{- define "squall.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains (include "squall.name" .) .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "squall.name" .) | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* A job cannot be changed: each upgrade of a release makes jobs anew, under another name. */}}
{{- define "squall.run" -}}
{{- if and (eq .Values.mode "job") (gt (int .Release.Revision) 1) -}}
{{- printf "-%d" (int .Release.Revision) -}}
{{- end -}}
{{- end -}}

{{- define "squall.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
app.kubernetes.io/name: {{ include "squall.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What tells this release's pods of one part: (list . "worker"). */}}
{{- define "squall.selector" -}}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "squall.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- define "squall.secret" -}}
{{- default (printf "%s-token" (include "squall.fullname" .)) .Values.token.existingSecret -}}
{{- end -}}

{{- define "squall.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "squall.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "squall.scenario" -}}
{{- if .Values.load.existingConfigMap -}}
{{- .Values.load.existingConfigMap -}}
{{- else if .Values.load.scenario -}}
{{- printf "%s-scenario" (include "squall.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* The worker processes of all pods: as many in each as its limit has whole CPUs, at least one. */}}
{{- define "squall.expectWorkers" -}}
{{- if kindIs "invalid" .Values.master.expectWorkers -}}
{{- $limits := default dict .Values.workers.resources.limits -}}
{{- $cpu := required "workers.resources.limits.cpu is needed to know how many workers to expect: give it, or master.expectWorkers" $limits.cpu | toString -}}
{{- $cpus := ternary (div (trimSuffix "m" $cpu | int) 1000) (floor $cpu | int64) (hasSuffix "m" $cpu) -}}
{{- mul .Values.workers.count (max 1 $cpus) -}}
{{- else -}}
{{- .Values.master.expectWorkers -}}
{{- end -}}
{{- end -}}

{{/* What a pod of either part has: (list . "master" .Values.master). */}}
{{- define "squall.pod" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $values := index . 2 -}}
automountServiceAccountToken: false
{{- with include "squall.serviceAccount" $root }}
serviceAccountName: {{ . }}
{{- end }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
# SIGTERM delivers everything first; an eviction may not cut that short.
terminationGracePeriodSeconds: {{ int $values.terminationGracePeriodSeconds }}
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
  seccompProfile:
    {{- toYaml $values.seccompProfile | nindent 4 }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What a container of either part has: (list . .Values.master). */}}
{{- define "squall.container" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
image: {{ include "squall.image" $root | quote }}
{{- with $root.Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
env:
  - name: SQUALL_TOKEN
    valueFrom:
      secretKeyRef:
        name: {{ include "squall.secret" $root }}
        key: {{ $root.Values.token.key }}
  {{- with $values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources:
  {{- toYaml $values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "squall.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $values := index . 2 -}}
labels:
  app.kubernetes.io/name: {{ include "squall.name" $root }}
  {{- include "squall.selector" (list $root $part) | nindent 2 }}
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
