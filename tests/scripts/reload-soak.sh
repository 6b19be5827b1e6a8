#!/usr/bin/env bash
# Reloads a proxy a thousand times under load in both protocols, changing the configuration and a plugin's module in turn, and fails
# where a request failed, a count was lost, a generation of the plugin was left, or memory grew by 5 % or more. As many reloads come
# before as a warm-up. Takes some minutes. Prints the figures.
#
#   tests/scripts/reload-soak.sh [reloads]
#
# TIDEGATE_BIN names a built binary; where it is missing, cargo builds one, with optimisations.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
TIDEGATE_RELOADS="${1:-1000}" exec cargo test --release --package tidegate-tests --test integration -- \
    reload_soak:: --nocapture
