#!/usr/bin/env bash
# Runs every case of h2spec, the strict ones too, against the proxy: HTTP/2 in clear, and over TLS. Any case that fails fails the script.
set -euo pipefail
# shellcheck source=tests/scripts/running.sh
source "$(dirname "${BASH_SOURCE[0]}")/running.sh"

need openssl openssl
h2spec="$("$root/tests/scripts/go-tools.sh" h2spec)"
start_origin
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -keyout "$work/site.key" -out "$work/site.pem" 2>/dev/null
start_proxy "
admin: { address: '127.0.0.1:0' }
workers: 1
listeners:
  - { name: web, address: '127.0.0.1:0' }
  - { name: secure, address: '127.0.0.1:0', tls: { certificates: [{ certificate: $work/site.pem, key: $work/site.key }] } }
routes: [{ upstream: app }]
upstreams: { app: { endpoints: ['$origin'] } }
telemetry: { access_log: { output: $work/requests.log } }
"
secure="$(listening secure)"

for case in "clear $proxy" "tls $secure --tls --insecure"; do
    read -r name address flags <<<"$case"
    echo "h2spec, $name"
    # shellcheck disable=SC2086
    "$h2spec" --host "${address%:*}" --port "${address##*:}" --strict --timeout 5 $flags >"$work/h2spec.$name.log" 2>&1 || {
        sed -n '/^Failures:/,$p' "$work/h2spec.$name.log"
        fail "h2spec, $name"
    }
    summary="$(tail -n 1 "$work/h2spec.$name.log")"
    echo "  $summary"
    [[ "$summary" == *" 0 skipped, 0 failed"* ]] || fail "not every case ran: $summary"
done
kill -0 "$proxy_pid" || fail "the proxy has ended"
