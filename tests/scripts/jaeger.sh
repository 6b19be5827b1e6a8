#!/usr/bin/env bash
# Sends traces to a real Jaeger and asks its API: the plugin's span must be a child of the proxy's server span.
set -euo pipefail
# shellcheck source=tests/scripts/running.sh
source "$(dirname "${BASH_SOURCE[0]}")/running.sh"

need curl curl
need jq jq
jaeger="$("$root/tests/scripts/go-tools.sh" jaeger)"
grpc="$(free_port)" http="$(free_port)" query="$(free_port)" query_grpc="$(free_port)"
cat >"$work/jaeger.yaml" <<YAML
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: { receivers: [otlp], exporters: [jaeger_storage_exporter] }
  telemetry: { metrics: { level: none }, logs: { level: warn } }
extensions:
  jaeger_storage: { backends: { memory: { memory: { max_traces: 1000 } } } }
  jaeger_query:
    storage: { traces: memory }
    http: { endpoint: "127.0.0.1:$query" }
    grpc: { endpoint: "127.0.0.1:$query_grpc" }
receivers:
  otlp: { protocols: { grpc: { endpoint: "127.0.0.1:$grpc" }, http: { endpoint: "127.0.0.1:$http" } } }
exporters:
  jaeger_storage_exporter: { trace_storage: memory }
YAML
"$jaeger" --config "$work/jaeger.yaml" >"$work/jaeger.log" 2>&1 &
children+=($!)
api="http://127.0.0.1:$query/api"
eventually "Jaeger is up" curl -sf "$api/services"

start_origin
for protocol in grpc http; do
    echo "Jaeger, OTLP over $protocol"
    case "$protocol" in
    grpc) endpoint="http://127.0.0.1:$grpc" ;;
    http) endpoint="http://127.0.0.1:$http" ;;
    esac
    start_proxy "
admin: { address: '127.0.0.1:0' }
workers: 1
listeners: [{ name: web, address: '127.0.0.1:0' }]
routes: [{ name: users, match: { path: '/users/{id}' }, upstream: app, plugins: [ids, classify] }]
upstreams: { app: { endpoints: ['$origin'] } }
plugins:
  ids: { builtin: correlation-id }
  classify:
    builtin: request-classifier
    config: { label: kind, rules: [{ path_prefix: /users, value: api }], otherwise: other }
telemetry:
  service: { name: edge-$protocol }
  otlp: { endpoint: '$endpoint', protocol: $protocol }
  traces: { ratio: 1.0 }
"
    trace="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
    curl -sf -o /dev/null -H "traceparent: 00-$trace-00f067aa0ba902b7-01" "http://$proxy/users/42"
    # The server span, the attempt's span below it, and the plugin's span below it too, all in the client's trace.
    below='
        .data[0] as $trace
        | ($trace.spans[] | select(any(.tags[]; .key == "span.kind" and .value == "server"))) as $server
        | def under($span): any($span.references[]?; .refType == "CHILD_OF" and .spanID == $server.spanID);
          $server.operationName == "GET /users/{id}"
          and $trace.processes[$server.processID].serviceName == "edge-'"$protocol"'"
          and any($trace.spans[]; under(.) and any(.tags[]; .key == "span.kind" and .value == "client"))
          and any($trace.spans[]; under(.) and any(.tags[]; .key == "tidegate.plugin" and .value == "classify"))
    '
    arrived() { curl -sf "$api/traces/$trace" | jq -e "$below"; }
    eventually "the plugin's span is under the server's" arrived
    curl -sf "$api/traces/$trace" | jq -r '.data[0].spans[] | "  \(.operationName)  \(.spanID) under \(.references[0].spanID)"'
done
