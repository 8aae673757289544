{{/* What values.schema.json cannot say: values that contradict each other, each in one sentence. */}}
{{- define "dd.refuse" -}}
{{- $credentials := len .Values.secret.data | min 1 }}
{{- $existing := ternary 1 0 (ne .Values.secret.existingSecret "") }}
{{- $external := ternary 1 0 .Values.externalSecret.enabled }}
{{- if gt (add $credentials $existing $external | int) 1 }}
{{- fail "credentials: expected one of secret.data, secret.existingSecret and externalSecret.enabled, got more" }}
{{- end }}
{{- if and .Values.externalSecret.enabled (or (not .Values.externalSecret.storeRef.name) (not .Values.externalSecret.data)) }}
{{- fail "externalSecret: expected storeRef.name and data with enabled, got one without the other" }}
{{- end }}
{{- if and .Values.serviceAccount.annotations (not .Values.serviceAccount.create) }}
{{- fail "serviceAccount.annotations: expected none with serviceAccount.create=false, since an existing account is left as it is" }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.name: expected the name of an account with serviceAccount.create=false, got none" }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.client.serviceAccount) }}
{{- fail "client.serviceAccount: expected the name of an account with serviceAccount.create=false, got none" }}
{{- end }}
{{- if and (hasKey .Values.serviceAccount.annotations "eks.amazonaws.com/role-arn") (hasKey .Values.secret.data "AWS_ACCESS_KEY_ID") }}
{{- fail "secret.data.AWS_ACCESS_KEY_ID: expected no keys beside the role of serviceAccount.annotations, since the keys would win over it" }}
{{- end }}
{{- range $name, $ := .Values.variables }}
{{- if regexMatch "SECRET|PASSWORD|TOKEN$|ACCESS_KEY" $name }}
{{- fail (printf "variables.%s: expected no credentials, which everybody could read: put it into secret.data" $name) }}
{{- end }}
{{- if has $name (list "MLFLOW_TRACKING_URI" "MLFLOW_EXPERIMENT_NAME" "AWS_ENDPOINT_URL" "AWS_REGION") }}
{{- fail (printf "variables.%s: expected it in tracking or storage, where it has a place of its own" $name) }}
{{- end }}
{{- end }}
{{- if and .Values.mlflow.enabled .Values.tracking.uri }}
{{- fail "tracking.uri: expected none with mlflow.enabled, since steps then record in the release's own MLflow" }}
{{- end }}
{{- if and .Values.mlflow.enabled (not (hasKey .Subcharts "mlflow")) }}
{{- fail "mlflow.enabled: expected MLflow's chart in charts/, found none: run helm dependency build" }}
{{- end }}
{{- if and .Values.kfp.launcher.create (not .Values.kfp.launcher.pipelineRoot) }}
{{- fail "kfp.launcher.pipelineRoot: expected a place such as s3://bucket/prefix with kfp.launcher.create, got none" }}
{{- end }}
{{- if and (not .Values.kfp.launcher.create) (or .Values.kfp.launcher.pipelineRoot .Values.kfp.launcher.providers) }}
{{- fail "kfp.launcher: expected no pipelineRoot or providers without kfp.launcher.create, since nothing would read them" }}
{{- end }}
{{- if eq .Values.run.profile "cpu" }}
{{- range $stage, $asked := .Values.run.stages }}
{{- if gt (int (default 0 $asked.gpu_count)) 0 }}
{{- fail (printf "run.stages.%s.gpu_count: expected none with run.profile=cpu, got %v" $stage $asked.gpu_count) }}
{{- end }}
{{- end }}
{{- end }}
{{- $seen := dict }}
{{- range .Values.schedules }}
{{- if hasKey $seen .name }}
{{- fail (printf "schedules: expected each name once, got %q twice" .name) }}
{{- end }}
{{- $_ := set $seen .name true }}
{{- end }}
{{- end }}
