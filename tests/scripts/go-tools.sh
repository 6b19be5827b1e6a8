#!/usr/bin/env bash
# Builds the Go programs that the interoperability scripts use, once, into the cache; prints their paths.
#   go-tools.sh h2spec|jaeger
set -euo pipefail

cache="${TIDEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidegate}"
tools="$cache/tools"
mkdir -p "$tools"

# Two runs at once must not build the same program twice.
exec 9>"$tools/.lock-${1:-}"
flock 9

build() { # name, version, module, package, folder holding go.mod
    local name="$1" version="$2" package="$3" folder="$4"
    echo "building $name $version (once; kept in $tools)" >&2
    (cd "$folder" && GOFLAGS="-mod=mod -p=${GO_JOBS:-$(nproc)} -buildvcs=false" CGO_ENABLED=0 \
        nice go build -trimpath -ldflags="-s -w" -o "$tools/$name-$version.new" "$package") >&2
    mv "$tools/$name-$version.new" "$tools/$name-$version"
}

work=""
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

case "${1:-}" in
h2spec)
    version=2.2.1
    if [ ! -x "$tools/h2spec-$version" ]; then
        work="$(mktemp -d)"
        (cd "$work" && go mod init throwaway && go mod edit -require="github.com/summerwind/h2spec@v$version+incompatible") >&2
        # A module from before modules: what it needs, it does not say.
        (cd "$work" && GOFLAGS=-mod=mod go get github.com/summerwind/h2spec/cmd/h2spec) >&2
        build h2spec "$version" github.com/summerwind/h2spec/cmd/h2spec "$work"
    fi
    echo "$tools/h2spec-$version"
    ;;
jaeger)
    version=1.76.0
    if [ ! -x "$tools/jaeger-$version" ]; then
        work="$(mktemp -d)"
        # Jaeger's own go.mod pins what it is built from; a module that requires Jaeger and copies that file builds the same program.
        source="$(cd "$work" && GOFLAGS=-mod=mod go mod download -json "github.com/jaegertracing/jaeger@v$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')"
        install -m 644 "$source/go.mod" "$source/go.sum" "$work"
        (cd "$work" && go mod edit -module=throwaway -require="github.com/jaegertracing/jaeger@v$version") >&2
        build jaeger "$version" github.com/jaegertracing/jaeger/cmd/jaeger "$work"
    fi
    echo "$tools/jaeger-$version"
    ;;
*)
    echo "usage: $0 h2spec|jaeger" >&2
    exit 64
    ;;
esac
