# Sourced by the scripts beside it: starts an origin and a proxy on free loopback ports, and ends them with the script.
# It knows nothing of what a script wants to show.
#
# TIDEGATE_BIN and ORIGIN_BIN name built binaries; where they are missing, cargo builds them.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
work="$(mktemp -d)"
children=()

finish() {
    local code=$?
    trap - EXIT
    for child in "${children[@]}"; do
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    done
    if [ "$code" != 0 ]; then
        for log in "$work"/*.log; do
            [ -s "$log" ] && { echo "--- ${log##*/}"; tail -n 30 "$log"; } >&2
        done
    fi
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

need() { # program, Debian package
    command -v "$1" >/dev/null || fail "$1 is missing (on Debian: apt-get install $2)"
}

# Tries a command every 0.1 s until it holds, for at most 30 s.
eventually() {
    local what="$1" _
    shift
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    fail "waited in vain: $what"
}

free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

executable() { # cargo arguments
    cargo build --manifest-path "$root/Cargo.toml" --quiet --message-format=json-render-diagnostics "$@" |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

start_origin() { # sets $origin
    : "${ORIGIN_BIN:=$(executable --package tidegate-tests --example origin)}"
    mkfifo "$work/origin.in"
    # The origin ends with its standard input.
    "$ORIGIN_BIN" <"$work/origin.in" >"$work/origin.out" 2>"$work/origin.log" &
    children+=($!)
    exec 8>"$work/origin.in"
    eventually "the origin listens" test -s "$work/origin.out"
    origin="$(cat "$work/origin.out")"
}

listening() { # listener
    sed -n '/"listening"/s/.*"listener":"'"$1"'".*"address":"\([^"]*\)".*/\1/p' "$work/proxy.log" | tail -n 1
}

start_proxy() { # configuration; sets $proxy, $admin and $proxy_pid
    : "${TIDEGATE_BIN:=$(executable --package tidegate --bin tidegate)}"
    printf '%s\n' "$1" >"$work/tidegate.yaml"
    "$TIDEGATE_BIN" run -c "$work/tidegate.yaml" >"$work/access.log" 2>"$work/proxy.log" &
    proxy_pid=$!
    children+=("$proxy_pid")
    eventually "the proxy is ready" grep -q '"message":"ready"' "$work/proxy.log"
    proxy="$(listening web)"
    admin="$(listening admin)"
}
