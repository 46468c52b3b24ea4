{{/* All names are fixed, as in manifests/base: one receiver serves all of a cluster's Kargo. */}}
{{- define "receiver.name" -}}
kargo-azure-receiver
{{- end }}

{{- define "receiver.namespace" -}}
{{ .Values.kargo.namespace | default .Release.Namespace }}
{{- end }}

{{- define "receiver.systemResourcesNamespace" -}}
{{- $default := eq .Values.mode "standalone" | ternary .Release.Namespace "kargo-system-resources" -}}
{{ .Values.kargo.systemResourcesNamespace | default $default }}
{{- end }}

{{/* Kargo's name for it, in every mode: Kargo binds it to each Project's Secrets and lets it refresh Promotions. */}}
{{- define "receiver.serviceAccount" -}}
kargo-external-webhooks-server
{{- end }}

{{- define "receiver.labels" -}}
app.kubernetes.io/name: {{ include "receiver.name" . }}
app.kubernetes.io/instance: {{ .Values.kargo.release | quote }}
app.kubernetes.io/part-of: kargo
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What a workload knows its Pods by: never anything that may change. */}}
{{- define "receiver.podSelector" -}}
app.kubernetes.io/name: {{ include "receiver.name" . }}
{{- end }}

{{/* Metadata of a namespaced object. */}}
{{- define "receiver.metadata" -}}
name: {{ include "receiver.name" . }}
namespace: {{ include "receiver.namespace" . | quote }}
labels:
  {{- include "receiver.labels" . | nindent 2 }}
{{- end }}

{{- define "receiver.image" -}}
{{- with .Values.image -}}
{{ .repository }}
{{- if or .tag (not .digest) }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* Whether settings of our own ConfigMap are there. */}}
{{- define "receiver.hasSettings" -}}
{{- if or (ne .Values.mode "beside") .Values.settings }}true{{ end }}
{{- end }}

{{- define "receiver.hasQueues" -}}
{{- if or .Values.queues.urls .Values.queues.existingSecret }}true{{ end }}
{{- end }}

{{/* Host of the base URL, without a port: neither Ingress nor HTTPRoute knows ports. */}}
{{- define "receiver.host" -}}
{{ (urlParse .Values.baseUrl).hostname | lower }}
{{- end }}

{{/* Path of the base URL with /azure. */}}
{{- define "receiver.path" -}}
{{ (urlParse .Values.baseUrl).path | trimSuffix "/" }}/azure
{{- end }}

{{- define "receiver.servicePort" -}}
{{ ternary 443 80 .Values.tls.enabled }}
{{- end }}

{{- define "receiver.subject" -}}
- kind: ServiceAccount
  name: {{ include "receiver.serviceAccount" . }}
  namespace: {{ include "receiver.namespace" . | quote }}
{{- end }}
