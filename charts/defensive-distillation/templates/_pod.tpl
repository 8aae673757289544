{{/* A pod of the program with restricted rights. Takes (dict "root" . "name" … "args" (list …)). */}}
{{- define "dd.pod" -}}
{{- $root := .root }}{{ $values := .root.Values }}
restartPolicy: Never
serviceAccountName: {{ include "dd.clientAccount" $root }}
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ int $values.podSecurityContext.runAsUser }}
  runAsGroup: {{ int $values.podSecurityContext.runAsGroup }}
  fsGroup: {{ int $values.podSecurityContext.fsGroup }}
  seccompProfile: {type: RuntimeDefault}
{{- with $values.client.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.client.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .name }}
    image: {{ include "dd.imageOf" (list $root $values.client.image) }}
    imagePullPolicy: {{ $values.client.image.pullPolicy }}
    command: [defdistill]
    args: {{- toYaml .args | nindent 6 }}
    env:
      - {name: KF_PIPELINES_ENDPOINT, value: {{ $values.kfp.host | quote }}}
      - {name: KFP_NAMESPACE, value: {{ $root.Release.Namespace | quote }}}
      {{- with $values.kfp.ui }}
      - {name: KF_PIPELINES_UI_ENDPOINT, value: {{ . | quote }}}
      {{- end }}
      {{- if $values.kfp.multiUser }}
      - {name: KF_PIPELINES_SA_TOKEN_PATH, value: /var/run/secrets/kubeflow/pipelines/token}
      {{- end }}
      # the root file system is read-only
      - {name: HOME, value: /tmp}
      - {name: TMPDIR, value: /tmp}
    envFrom:
      - configMapRef: {name: {{ include "dd.name" $root }}}
      - secretRef: {name: {{ include "dd.secretName" $root }}, optional: true}
    resources: {{- toYaml $values.client.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: resources, mountPath: /etc/defensive-distillation/resources, readOnly: true}
      {{- if $values.kfp.multiUser }}
      - {name: kfp-token, mountPath: /var/run/secrets/kubeflow/pipelines, readOnly: true}
      {{- end }}
volumes:
  - {name: tmp, emptyDir: {}}
  - {name: resources, configMap: {name: {{ include "dd.name" $root }}-resources}}
  {{- if $values.kfp.multiUser }}
  - name: kfp-token
    projected:
      sources:
        - serviceAccountToken: {path: token, audience: {{ $values.kfp.audience }}, expirationSeconds: 7200}
  {{- end }}
{{- end }}
