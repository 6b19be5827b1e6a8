//! The keys of a log line that belong to the proxy.
//! It does not write the line.

/// Whether a plugin may not use this key.
pub(super) fn is_reserved_field(key: &str) -> bool {
    const RESERVED: [&str; 24] = [
        "timestamp",
        "level",
        "message",
        "correlation_id",
        "trace_id",
        "span_id",
        "sampled",
        "listener",
        "route",
        "upstream",
        "endpoint",
        "client_address",
        "method",
        "host",
        "path",
        "query",
        "protocol",
        "status",
        "duration_ms",
        "upstream_ms",
        "request_bytes",
        "response_bytes",
        "attempts",
        "error",
    ];
    RESERVED.contains(&key)
}
