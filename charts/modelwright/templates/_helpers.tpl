{{- define "modelwright.name" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{ $name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "modelwright.selector" -}}
app.kubernetes.io/name: modelwright-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Nothing in them changes with the version: an upgrade writes the operator's Deployment and what really changed. */ -}}
{{- define "modelwright.labels" -}}
{{ include "modelwright.selector" . }}
app.kubernetes.io/part-of: modelwright
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "modelwright.versionLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "modelwright.activatorSelector" -}}
app.kubernetes.io/name: modelwright-activator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "modelwright.activatorLabels" -}}
{{ include "modelwright.activatorSelector" . }}
app.kubernetes.io/part-of: modelwright
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "modelwright.activatorAccount" -}}
{{ if .Values.serviceAccount.create }}{{ include "modelwright.name" . }}-activator{{ else }}{{ include "modelwright.serviceAccount" . }}{{ end }}
{{- end }}

{{- define "modelwright.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}{{ include "modelwright.name" . }}
{{- else }}default{{ end }}
{{- end }}

{{- /* An image reference from {registry, repository, tag, digest} and the version that stands in for an empty tag. */ -}}
{{- define "modelwright.image" -}}
{{- with .image -}}
{{ with .registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.version }}{{ end }}
{{- end }}
{{- end }}

{{- /* The namespaces whose NetworkPolicies are part of the release, as a JSON list. */ -}}
{{- define "modelwright.modelNamespaces" -}}
{{ .Values.networkPolicy.modelNamespaces | default .Values.watchNamespaces | toJson }}
{{- end }}

{{- define "modelwright.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "modelwright.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}
