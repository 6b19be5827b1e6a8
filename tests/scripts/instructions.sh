#!/usr/bin/env bash
# Counts the instructions that a worker takes for a request, all in all and by function, outside of the kernel. Unlike time they are
# the same in every run, whatever else the machine does, so that a change of some hundred is seen.
#
#   tests/scripts/instructions.sh [bare|everything] [requests]
#
# TIDEGATE_BIN names a built binary; where it is missing, cargo builds one, with optimisations. ORIGIN_BIN as for the other scripts.
set -euo pipefail
# shellcheck source=tests/scripts/running.sh
source "$(dirname "${BASH_SOURCE[0]}")/running.sh"

what="${1:-bare}" requests="${2:-2000}"
need valgrind valgrind
need curl curl
case "$what" in
bare)
    route='{ name: all, upstream: app }'
    telemetry='{ traces: { ratio: 0 }, access_log: { output: off } }'
    ;;
everything)
    route='{ name: all, match: { path: "/users/{id}" }, upstream: app, limits: [clients], plugins: [ids, classify] }'
    # Nobody listens there: what a collector is sent is not counted.
    telemetry="{ otlp: { endpoint: \"http://127.0.0.1:$(free_port)\" }, traces: { ratio: 0.1 }, access_log: { output: access.json } }"
    ;;
*) fail "what to count: bare, everything" ;;
esac

start_origin
: "${TIDEGATE_BIN:=$(executable --release --package tidegate --bin tidegate)}"
cat >"$work/counted" <<SHELL
#!/usr/bin/env bash
exec valgrind --tool=callgrind --instr-atstart=no --separate-threads=yes \\
    --callgrind-out-file="$work/counts" "$(realpath "$TIDEGATE_BIN")" "\$@"
SHELL
chmod +x "$work/counted"
TIDEGATE_BIN="$work/counted"
start_proxy "
workers: 1
listeners: [{ name: web, address: \"127.0.0.1:$(free_port)\" }]
admin: { address: \"127.0.0.1:$(free_port)\" }
routes: [$route]
upstreams: { app: { endpoints: [\"$origin\"], breaker: { consecutive_failures: 5 } } }
limits: { clients: { key: client.address, rate: 1000000/s, burst: 1000000 } }
plugins:
  ids: { builtin: correlation-id, budget: { deadline: 1s } }
  classify:
    builtin: request-classifier
    budget: { deadline: 1s }
    config: { label: kind, rules: [{ path_prefix: /users, value: api }], otherwise: other }
telemetry: $telemetry
"
ask() { # requests, on one connection
    curl --silent --fail --output /dev/null "http://$proxy/users/[1-$1]" || fail "the proxy does not answer"
}
ask 200
callgrind_control --instr=on "$proxy_pid" >/dev/null 2>&1
ask "$requests"
callgrind_control --instr=off "$proxy_pid" >/dev/null 2>&1
callgrind_control --dump "$proxy_pid" >/dev/null 2>&1
eventually "the counts are there" test -s "$work/counts.1-01"

# The worker's is the one with the most.
worker="$(awk '/^(totals|summary):/ { print $2, FILENAME }' "$work"/counts.1-* | sort -rn | sed -n '1s/^[0-9]* //p')"
annotated() { # heading, arguments of callgrind_annotate
    echo
    echo "$1"
    shift
    callgrind_annotate --threshold=100 --show-percs=no --auto=no "$@" "$worker" 2>/dev/null |
        sed -n 's/^ *\([0-9][0-9,]*\)  *\(.*\)$/\1 \2/p' |
        awk -v requests="$requests" '{ gsub(",", "", $1); cost = $1 / requests; $1 = ""
            sub(/^ (\?\?\?|.*\.(rs|c|S|h)):/, ""); sub(/ \[[^ ]*\]$/, ""); if (cost >= 100) printf "%8.0f %.120s\n", cost, $0 }'
}
annotated "Instructions for a request, by function, in itself ($what, $requests requests)"
annotated "With what it calls" --inclusive=yes
