//! The metrics of what is let in: connections, limits and circuit breakers.
//! It decides nothing.

use super::metrics;

const LISTENER: &str = "listeners of the configuration";
const LIMIT: &str = "limits of the configuration";
const UPSTREAM: &str = "upstreams of the configuration";

metrics! {
    /// Connections, limits and breakers.
    Admission {
        /// Connections of clients that were accepted.
        connections: Counter "tidegate.connections", "{connection}", { "listener": LISTENER };
        /// Connections of clients that are open.
        connections_active: Gauge "tidegate.connections.active", "{connection}", { "listener": LISTENER };
        /// Connections of clients that a listener can hold: `max_connections`, or fewer where the process has not enough file descriptors.
        connections_limit: Gauge "tidegate.connections.limit", "{connection}", { "listener": LISTENER };
        /// Connections of clients that were closed before their first request could be read, and failed accepts.
        connections_rejected: Counter "tidegate.connections.rejected", "{connection}", {
            "listener": LISTENER,
            "reason": "`limit`, `tls`, `tls_timeout`, `resources` (no file descriptor or memory left), `aborted`, `draining`, `plugin`",
        };
        /// Requests that a limit was asked about.
        limit_decisions: Counter "tidegate.limit.decisions", "{decision}", {
            "limit": LIMIT,
            "decision": "`allowed`, `limited`",
        };
        /// Keys that a limit remembers.
        limit_keys: Gauge "tidegate.limit.keys", "{key}", { "limit": LIMIT };
        /// Keys that a limit forgot before their time, since `max_keys` was reached.
        limit_evictions: Counter "tidegate.limit.evictions", "{key}", { "limit": LIMIT };
        /// State of a circuit breaker: 0 closed, 0.5 half open, 1 open.
        breaker_state: Gauge "tidegate.breaker.state", "", { "upstream": UPSTREAM };
        /// Changes of a circuit breaker's state.
        breaker_transitions: Counter "tidegate.breaker.transitions", "{transition}", {
            "upstream": UPSTREAM,
            "to": "`closed`, `half_open`, `open`",
        };
        /// Attempts that a circuit breaker refused.
        breaker_refused: Counter "tidegate.breaker.refused", "{attempt}", { "upstream": UPSTREAM };
    }
}
