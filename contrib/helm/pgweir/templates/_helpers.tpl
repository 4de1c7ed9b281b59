{{- /* By these a pod is found; nothing else is. */}}
{{- define "pgweir.selector" -}}
{{ toJson (dict "app.kubernetes.io/name" "pgweir" "app.kubernetes.io/instance" .Release.Name) }}
{{- end }}

{{- define "pgweir.labels" }}
    app.kubernetes.io/name: pgweir
    app.kubernetes.io/instance: {{ .Release.Name }}
    app.kubernetes.io/version: {{ toJson .Chart.AppVersion }}
    app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "pgweir.account" -}}
{{ default (ternary .Release.Name "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- /* The Secret with the certificate for clients; nothing: no TLS. */}}
{{- define "pgweir.clientsSecret" -}}
{{ default (ternary (printf "%s-tls" .Release.Name) "" .Values.tls.clients.certManager.enabled) .Values.tls.clients.secretName }}
{{- end }}

{{- /* A number as large as a million would be printed as 1e+06. */}}
{{- define "pgweir.settings" }}
{{- range $key, $value := . }}
{{ $key }} = {{ if kindIs "float64" $value }}{{ toJson $value }}{{ else }}{{ $value }}{{ end }}
{{- end }}
{{- end }}

{{- define "pgweir.ini" -}}
{{- $shutdown := .Values.shutdown }}
{{- $clients := .Values.tls.clients }}
{{- $postgres := .Values.tls.postgres }}
{{- $fixed := dict "pgweir" (dict "listen" "*:5432") "auth" (dict "users_file" "/etc/pgweir-users/users.txt") "http" (dict "listen" "*:9930")
	"timeouts" (dict "shutdown_delay" (printf "%vs" $shutdown.delaySeconds) "shutdown_timeout" (printf "%vs" $shutdown.timeoutSeconds)) }}
{{- if ne .Values.budget "off" }}
{{- $_ := set $fixed "limits" (dict "budget" .Values.budget "budget_connections" .Values.budgetConnections) }}
{{- end }}
{{- $ours := dict }}
{{- if include "pgweir.clientsSecret" . }}
{{- $_ := set $ours "mode" $clients.mode }}
{{- $_ := set $ours "certificate_file" "/etc/pgweir-tls/tls.crt" }}
{{- $_ := set $ours "key_file" "/etc/pgweir-tls/tls.key" }}
{{- if hasPrefix "verify-" $clients.mode }}{{ $_ := set $ours "ca_file" "/etc/pgweir-tls/ca.crt" }}{{ end }}
{{- $_ := set $fixed "tls_client" $ours }}
{{- end }}
{{- $theirs := dict }}
{{- if $postgres.mode }}{{ $_ := set $theirs "mode" $postgres.mode }}{{ end }}
{{- if $postgres.secretName }}{{ $_ := set $theirs "ca_file" "/etc/pgweir-postgres-tls/ca.crt" }}{{ end }}
{{- if $postgres.clientCertificate }}
{{- $_ := set $theirs "certificate_file" "/etc/pgweir-postgres-tls/tls.crt" }}
{{- $_ := set $theirs "key_file" "/etc/pgweir-postgres-tls/tls.key" }}
{{- end }}
{{- $_ := set $fixed "tls_server" $theirs }}
{{- range $section, $keys := $fixed }}
[{{ $section }}]
{{- include "pgweir.settings" $keys }}
{{- range $key, $value := index $.Values.settings $section }}
{{- if hasKey $keys $key }}{{ fail (printf "settings.%s.%s: another value of the chart says it" $section $key) }}{{ end }}
{{- end }}
{{- include "pgweir.settings" (index $.Values.settings $section) }}
{{ end }}
{{- range $section, $keys := .Values.settings }}
{{- if not (hasKey $fixed $section) }}
[{{ $section }}]
{{- include "pgweir.settings" $keys }}
{{ end }}
{{- end }}
{{- if .Values.upstream }}
[database *]
upstream = {{ .Values.upstream }}
{{ end }}
{{- range $name, $keys := .Values.databases }}
[database {{ $name }}]
{{- include "pgweir.settings" $keys }}
{{ end }}
{{- .Values.extraConfig }}
{{- end }}
