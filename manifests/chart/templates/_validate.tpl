{{/*
Values that are right by themselves and wrong together. Each fault is one line; what is wrong by itself is
values.schema.json's. What the cluster says is asked only where there is one: `helm template` finds nothing.
*/}}
{{- define "receiver.validate" -}}
{{- $remote := .Values.kargo.kubeconfigSecret }}
{{- $routed := or .Values.ingress.enabled .Values.httpRoute.enabled }}
{{- if and (ne .Values.mode "beside") (not .Values.baseUrl) }}
  {{- fail (printf "mode %s needs baseUrl: the URL under which Azure reaches the receiver, such as https://kargo.example.com" .Values.mode) }}
{{- end }}
{{- if and $routed (not .Values.baseUrl) }}
  {{- fail "ingress and httpRoute need baseUrl: their host and path are taken from it; copy that of Kargo's ConfigMap kargo-external-webhooks-server" }}
{{- end }}
{{- if and $routed (not (regexMatch "^([a-z0-9]([-a-z0-9]*[a-z0-9])?\\.)*[a-z]([-a-z0-9]*[a-z0-9])?$" (include "receiver.host" .))) }}
  {{- fail (printf "ingress and httpRoute need a DNS name as the host of baseUrl, not %s" (include "receiver.host" .)) }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
  {{- fail "httpRoute.enabled needs httpRoute.parentRefs: the Gateways that the route attaches to" }}
{{- end }}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.enabled) }}
  {{- fail "tls.certManager.enabled needs tls.enabled: nothing would use the certificate" }}
{{- end }}
{{- if and $remote .Values.flowSchema.enabled }}
  {{- fail "flowSchema.enabled can't be combined with kargo.kubeconfigSecret: it would concern the API server of this cluster, and the receiver uses another one" }}
{{- end }}
{{- if and $remote .Values.admissionWarnings.enabled }}
  {{- fail "admissionWarnings.enabled can't be combined with kargo.kubeconfigSecret: it would concern the API server of this cluster; apply manifests/chart/files/admission/policies.yaml to the other one" }}
{{- end }}
{{- if and $remote (eq .Values.mode "standalone") }}
  {{- fail "mode standalone can't be combined with kargo.kubeconfigSecret: it is for a cluster without Kargo; take in-place" }}
{{- end }}
{{- if and (eq .Values.mode "standalone") .Values.kargo.namespace }}
  {{- fail "mode standalone can't be combined with kargo.namespace: it lives in the release's namespace, which must not be Kargo's" }}
{{- end }}
{{- range $number, $url := .Values.queues.urls }}
  {{- if contains "?" $url }}
    {{- fail (printf "queues.urls[%d] holds a SAS, a credential that everybody could read in the Pod: put the URL into a Secret as AZURE_QUEUES, and name that in queues.existingSecret" $number) }}
  {{- end }}
{{- end }}
{{- if and .Values.workloadIdentity.clientId (not (include "receiver.hasQueues" .)) }}
  {{- fail "workloadIdentity.clientId needs queues.urls: nothing else signs in to Azure" }}
{{- end }}
{{- range $name := list "EXTERNAL_WEBHOOK_SERVER_BASE_URL" "SYSTEM_RESOURCES_NAMESPACE" "KUBECONFIG" "DATA_DIR" "PORT" "ADMIN_PORT" "TLS_ENABLED" "TLS_CERT_PATH" "TLS_KEY_PATH" "AZURE_QUEUES" "AZURE_STORAGE_CONNECTION_STRING" }}
  {{- if hasKey $.Values.settings $name }}
    {{- fail (printf "settings.%s is made by the chart from other values (baseUrl, kargo, tls, persistence, queues): leave it out" $name) }}
  {{- end }}
{{- end }}
{{- include "receiver.validateCluster" . }}
{{- end }}

{{/* What is found in the cluster that is installed into: whose ServiceAccount is there. */}}
{{- define "receiver.validateCluster" -}}
{{- $namespace := include "receiver.namespace" . }}
{{- $name := include "receiver.serviceAccount" . }}
{{- $account := lookup "v1" "ServiceAccount" $namespace $name }}
{{- $ours := eq (dig "metadata" "labels" "app.kubernetes.io/name" "" $account) (include "receiver.name" .) }}
{{- if ne .Values.mode "beside" }}
  {{- if and $account (not $ours) }}
    {{- fail (printf "mode %s makes the ServiceAccount %s, and Kargo's is still in namespace %s: set externalWebhooksServer.enabled=false in Kargo's chart first, or take mode beside" .Values.mode $name $namespace) }}
  {{- end }}
{{- else if $ours }}
  {{- fail (printf "the ServiceAccount %s in namespace %s is this chart's own, and mode beside would delete it: uninstall first, then set externalWebhooksServer.enabled=true in Kargo's chart, then install beside it" $name $namespace) }}
{{- else if and (not $account) (lookup "v1" "Namespace" "" "kube-system") }}
  {{- fail (printf "no Kargo in namespace %s (there is no ServiceAccount %s): give Kargo's namespace by -n or kargo.namespace, or take mode in-place where Kargo's chart has externalWebhooksServer.enabled=false" $namespace $name) }}
{{- end }}
{{- end }}
