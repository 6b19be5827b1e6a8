#!/usr/bin/env bash
# Shows rules and metrics to the real tools: promtool's checks, and a Prometheus that scrapes the proxy and is asked for the series and exemplars.
set -euo pipefail
# shellcheck source=tests/scripts/running.sh
source "$(dirname "${BASH_SOURCE[0]}")/running.sh"

need promtool prometheus
need prometheus prometheus
need curl curl
need jq jq

echo "promtool check and test rules"
rules="$root/config/prometheus"
promtool check config "$rules/prometheus.yml" || fail "the example of a configuration for Prometheus is wrong"
promtool check rules "$rules/compat.rules.yml" || fail "the recording rules are wrong"
promtool test rules "$rules/alerts.test.yml" || fail "an alert does not fire, or not only where it should"
promtool test rules "$rules/compat.test.yml" || fail "a recording rule says something else than it promises"
# The dashboard's queries, with Grafana's variables filled in.
jq '{groups: [{name: "dashboard", rules: [.panels[].targets[]?.expr
        | gsub("\\$__rate_interval"; "1m") | gsub("\\$(job|instance)"; ".*")]
        | unique | to_entries | map({record: "panel:\(.key)", expr: .value})}]}' \
    "$rules/../grafana/tidegate.json" >"$work/dashboard.yml"
promtool check rules "$work/dashboard.yml" || fail "a query of the dashboard is wrong"

start_origin
start_proxy "
admin: { address: '127.0.0.1:0' }
workers: 2
listeners: [{ name: web, address: '127.0.0.1:0' }]
routes:
  - { name: users, match: { path: '/users/{id}' }, upstream: app, limits: [all], plugins: [ids, classify] }
  - { name: lost, match: { hosts: [lost.test] }, upstream: gone }
  - { name: rest, upstream: app, plugins: [ids, classify] }
upstreams:
  app: { endpoints: ['$origin'], breaker: { consecutive_failures: 1000 } }
  gone: { endpoints: ['127.0.0.1:1'] }
limits: { all: { key: global, rate: 1/h, burst: 5 } }
plugins:
  ids: { builtin: correlation-id }
  classify:
    builtin: request-classifier
    config: { label: kind, rules: [{ path_prefix: /users, value: api }], otherwise: other }
telemetry:
  # Nobody listens there: what is lost has its panels, too.
  otlp: { endpoint: 'http://127.0.0.1:1' }
  traces: { ratio: 1.0, interval: 100ms }
  metrics: { interval: 500ms }
  access_log: { output: $work/requests.log }
"

for number in $(seq 20); do
    curl -s -o /dev/null "http://$proxy/users/$number"
    curl -s -o /dev/null "http://$proxy/status/503"
done
printf 'nonsense\r\n\r\n' | { exec 3<>"/dev/tcp/${proxy%:*}/${proxy##*:}"; cat >&3; cat <&3 >/dev/null; }

# What is measured once a second comes a little later; then both formats have it.
measured() { curl -sf "http://$admin/metrics" | grep -q '^tidegate_limit_keys'; }
eventually "the limits have been measured" measured

echo "promtool check metrics, text format"
curl -sf -H 'accept: text/plain; version=0.0.4' "http://$admin/metrics" >"$work/text"
promtool check metrics <"$work/text" || fail "promtool finds fault with the text format"

echo "promtool check metrics, OpenMetrics"
curl -sf -H 'accept: application/openmetrics-text; version=1.0.0' "http://$admin/metrics" >"$work/openmetrics"
[ "$(tail -n 1 "$work/openmetrics")" = "# EOF" ] || fail "OpenMetrics ends with # EOF"
grep -q ' # {trace_id="' "$work/openmetrics" || fail "no exemplar in OpenMetrics"
# promtool reads only the older format: without what that does not have (exemplars, units, EOF, families named without
# their suffix), the samples must be the same series.
series() { grep -v '^#' "$1" | sed 's/ # {.*//; s/ [^ ]*$//; s/le="\([0-9]*\)\.0"/le="\1"/' | grep -v -e '_created' -e '^process_' | sort; }
diff <(series "$work/text") <(series "$work/openmetrics") || fail "the two formats have different series"

echo "a Prometheus scrapes"
port="$(free_port)"
cat >"$work/prometheus.yml" <<YAML
global: { scrape_interval: 500ms, scrape_timeout: 400ms }
scrape_configs:
  - { job_name: tidegate, static_configs: [{ targets: ['$admin'] }] }
YAML
promtool check config "$work/prometheus.yml" >/dev/null
prometheus --config.file="$work/prometheus.yml" --web.listen-address="127.0.0.1:$port" --storage.tsdb.path="$work/tsdb" \
    --enable-feature=exemplar-storage --log.level=warn >"$work/prometheus.log" 2>&1 &
children+=($!)

query() { curl -sf --get "http://127.0.0.1:$port/api/v1/query" --data-urlencode "query=$1"; }
value() { query "$1" | jq -r '.data.result[0].value[1] // empty'; }
says() { [ "$(value "$1")" = "$2" ]; }

eventually "Prometheus reads the scrape (a format it cannot parse is down)" says 'up{job="tidegate"}' 1
shown() { # expression, value
    eventually "$1 is $2 in Prometheus (it is '$(value "$1")')" says "$1" "$2"
    echo "  $1 = $2"
}
shown 'sum(http_server_request_duration_seconds_count{http_route="/users/{id}"})' 20
shown 'sum(http_server_request_duration_seconds_count{http_response_status_code="429"})' 15
shown 'sum(tidegate_limit_decisions_total{decision="limited"})' 15
shown 'sum(tidegate_errors_total{reason="malformed_head"})' 1
shown 'sum(requests_by_kind_total{plugin="classify"})' 40
shown 'tidegate_build_info' 1
histogram="$(value 'histogram_quantile(0.99, sum by (le) (http_server_request_duration_seconds_bucket))')"
[ -n "$histogram" ] && [ "$histogram" != NaN ] || fail "no quantile from the histogram"
exemplars() {
    curl -sf --get "http://127.0.0.1:$port/api/v1/query_exemplars" --data-urlencode 'query=http_server_request_duration_seconds_bucket' \
        --data-urlencode "start=$(($(date +%s) - 600))" --data-urlencode "end=$(($(date +%s) + 60))" |
        jq -e '.data | length > 0'
}
eventually "Prometheus keeps an exemplar" exemplars
echo "  exemplars are there"

echo "every panel of the dashboard has something to show"
exec 4<>"/dev/tcp/${proxy%:*}/${proxy##*:}"
printf '%s\r\n' 'GET /websocket HTTP/1.1' 'host: a.test' 'connection: upgrade' 'upgrade: websocket' \
    'sec-websocket-version: 13' 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==' '' >&4
read -r line <&4
[[ "$line" = *" 101 "* ]] || fail "no WebSocket: $line"
for _ in 1 2 3; do
    curl -s -o /dev/null -H 'host: lost.test' "http://$proxy/"
    curl -s -o /dev/null -d 'a body' "http://$proxy/users/1"
done
answered() { query "$1" | jq -e '.data.result | length > 0'; }
jq -r '.groups[].rules[].expr' "$work/dashboard.yml" >"$work/queries"
# No kept connection died here, and no plugin failed.
grep -v -e tidegate_retries_total -e 'outcome=~"trap' "$work/queries" >"$work/answered"
while read -r expression; do
    eventually "an answer to the dashboard's $expression" answered "$expression"
done <"$work/answered"
echo "  $(wc -l <"$work/answered") of $(wc -l <"$work/queries") queries have an answer"
