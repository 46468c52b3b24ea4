{{/* The receiver's Pod, the same in the Deployment and in the StatefulSet. Reasons are in manifests/base/deployment.yaml. */}}
{{- define "receiver.pod" -}}
metadata:
  labels:
    {{- include "receiver.podSelector" . | nindent 4 }}
    {{- $identity := empty .Values.workloadIdentity.clientId | ternary dict (dict "azure.workload.identity/use" "true") }}
    {{- with merge $identity .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or .Values.podAnnotations (include "receiver.hasSettings" .) }}
  annotations:
    {{- if include "receiver.hasSettings" . }}
    # A change of the settings restarts the Pods.
    checksum/settings: {{ include (print $.Template.BasePath "/settings.yaml") . | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "receiver.serviceAccount" . }}
  automountServiceAccountToken: true
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "receiver.podSelector" $ | nindent 10 }}
    {{- end }}
  securityContext:
    {{- include "receiver.podSecurity" . | nindent 4 }}
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
  containers:
    - name: receiver
      image: {{ include "receiver.image" . }}
      {{- with .Values.image.pullPolicy }}
      imagePullPolicy: {{ . }}
      {{- end }}
      args: [run]
      env:
        {{- include "receiver.env" . | nindent 8 }}
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: POD_NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        - name: DATA_DIR
          value: /var/lib/kargo-azure-receiver
        - name: PEERS
          value: {{ include "receiver.name" . }}-peers:9090
        {{- if .Values.tls.enabled }}
        - name: TLS_ENABLED
          value: "true"
        - name: TLS_CERT_PATH
          value: /etc/kargo-azure-receiver/tls/tls.crt
        - name: TLS_KEY_PATH
          value: /etc/kargo-azure-receiver/tls/tls.key
        {{- end }}
        {{- with .Values.queues.urls }}
        - name: AZURE_QUEUES
          value: {{ join " " . | quote }}
        {{- end }}
        {{- with .Values.workloadIdentity.clientId }}
        - name: AZURE_CLIENT_ID
          value: {{ . | quote }}
        {{- end }}
        {{- with .Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      envFrom:
        {{- include "receiver.envFrom" . | nindent 8 }}
        {{- with .Values.queues.existingSecret }}
        - secretRef:
            name: {{ . | quote }}
        {{- end }}
      ports:
        - name: public
          containerPort: 8080
        - name: admin
          containerPort: 9090
      startupProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 1
        timeoutSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 3
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "receiver.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - name: journal
          mountPath: /var/lib/kargo-azure-receiver
        - name: tmp
          mountPath: /tmp
        {{- if .Values.tls.enabled }}
        - name: tls
          mountPath: /etc/kargo-azure-receiver/tls
          readOnly: true
        {{- end }}
        {{- if .Values.kargo.kubeconfigSecret }}
        {{- include "receiver.kubeconfigMount" . | nindent 8 }}
        {{- end }}
  volumes:
    {{- if not .Values.persistence.enabled }}
    - name: journal
      emptyDir:
        sizeLimit: 256Mi
    {{- end }}
    - name: tmp
      emptyDir:
        sizeLimit: 16Mi
    {{- if .Values.tls.enabled }}
    - name: tls
      secret:
        secretName: {{ .Values.tls.secretName | quote }}
        defaultMode: 0440
    {{- end }}
    {{- if .Values.kargo.kubeconfigSecret }}
    {{- include "receiver.kubeconfigVolume" . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* Where Kargo is, for the receiver and for the Pod of `helm test`. */}}
{{- define "receiver.env" -}}
{{- if eq .Values.mode "beside" -}}
- name: EXTERNAL_WEBHOOK_SERVER_BASE_URL
  valueFrom:
    configMapKeyRef:
      name: kargo-external-webhooks-server
      key: EXTERNAL_WEBHOOK_SERVER_BASE_URL
- name: SYSTEM_RESOURCES_NAMESPACE
  valueFrom:
    configMapKeyRef:
      name: kargo-external-webhooks-server
      key: SYSTEM_RESOURCES_NAMESPACE
      optional: true
{{- end }}
{{- if .Values.kargo.kubeconfigSecret }}
- name: KUBECONFIG
  value: /etc/kargo-azure-receiver/kubeconfig/kubeconfig.yaml
{{- end }}
{{- end }}

{{- define "receiver.envFrom" -}}
- configMapRef:
    name: {{ include "receiver.name" . }}
    optional: {{ not (include "receiver.hasSettings" .) }}
{{- end }}

{{- define "receiver.kubeconfigMount" -}}
- name: kubeconfig
  mountPath: /etc/kargo-azure-receiver/kubeconfig
  readOnly: true
{{- end }}

{{- define "receiver.kubeconfigVolume" -}}
- name: kubeconfig
  secret:
    secretName: {{ .Values.kargo.kubeconfigSecret | quote }}
    defaultMode: 0440
{{- end }}

{{- define "receiver.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "receiver.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
