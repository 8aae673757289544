{{/* The name that steps look for: they mount the ConfigMap of this name, and the Secret of it with -credentials. */}}
{{- define "dd.name" -}}
defensive-distillation
{{- end }}

{{- define "dd.secretName" -}}
{{- .Values.secret.existingSecret | default (printf "%s-credentials" (include "dd.name" .)) }}
{{- end }}

{{- define "dd.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "dd.name" .) }}
{{- end }}

{{- define "dd.clientAccount" -}}
{{- .Values.client.serviceAccount | default (printf "%s-client" (include "dd.serviceAccount" .)) }}
{{- end }}

{{/* All labels of an object; selectors use the part-of alone. */}}
{{- define "dd.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "dd.partOf" . }}
{{- end }}

{{/* Steps carry this label too. */}}
{{- define "dd.partOf" -}}
app.kubernetes.io/part-of: defensive-distillation
{{- end }}

{{/* repository@digest, or repository:tag. Takes (list . image). */}}
{{- define "dd.imageOf" -}}
{{- $root := index . 0 }}{{ $image := index . 1 }}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "dd.trackingUri" -}}
{{- if .Values.mlflow.enabled -}}
http://{{ .Values.mlflow.fullnameOverride }}:{{ .Values.mlflow.server.value_options.port }}
{{- else }}{{ .Values.tracking.uri }}
{{- end }}
{{- end }}

{{/* The port of a URL, or that of its scheme. */}}
{{- define "dd.port" -}}
{{- $url := urlParse . }}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) }}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}
