//! The metrics of requests by OpenTelemetry's HTTP conventions, and of what came of them.
//! It does not know when an exchange begins or ends.
//!
//! <https://opentelemetry.io/docs/specs/semconv/http/http-metrics/>

use super::metrics;

/// Seconds. The boundaries that OpenTelemetry's HTTP convention gives for request durations: from 5 ms, where a local
/// service answers, to 10 s, where most clients give up. Dashboards made for the convention work because all use the same.
pub(super) const DURATION: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Bytes. Powers of four from 256 B to 16 MiB: below is a head's worth, above a download; a factor of four is enough to see
/// what kind of body it is, and ten buckets keep the series of a route few.
const SIZE: &[f64] = &[256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// Seconds. A session lasts from one exchange of messages to a working day; each step is about a factor of five.
const SESSION: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 28800.0];

const METHOD: &str = "`GET`, `HEAD`, `POST`, `PUT`, `DELETE`, `CONNECT`, `OPTIONS`, `TRACE`, `PATCH`, else `_OTHER`";
const STATUS: &str = "100 to 599; absent where there was no answer";
const VERSION: &str = "`1.0`, `1.1`, `2`";
const SCHEME: &str = "`http`, `https`";
const ERROR: &str = "a word of the error reasons, or the status from 500; absent where nothing failed";
const ROUTE: &str = "the route's template; absent where no route matched";
const LISTENER: &str = "listeners of the configuration";
const UPSTREAM: &str = "upstreams of the configuration";
const ROUTE_NAME: &str = "routes of the configuration; absent where no route matched";

metrics! {
    /// Requests, WebSockets and errors.
    Http {
        /// Time from a request's head to the end of its response's body.
        server_request_duration: Histogram "http.server.request.duration", "s" [DURATION], {
            "http.request.method": METHOD,
            "http.response.status_code": STATUS,
            "network.protocol.version": VERSION,
            "url.scheme": SCHEME,
            "error.type": ERROR,
            "http.route": ROUTE,
            "tidegate.listener": LISTENER,
        };
        /// Requests under way.
        server_active_requests: Gauge "http.server.active_requests", "{request}", {
            "http.request.method": METHOD,
            "url.scheme": SCHEME,
            "tidegate.listener": LISTENER,
        };
        /// Size of request bodies as received.
        server_request_body_size: Histogram "http.server.request.body.size", "By" [SIZE], {
            "http.request.method": METHOD,
            "http.response.status_code": STATUS,
            "network.protocol.version": VERSION,
            "url.scheme": SCHEME,
            "error.type": ERROR,
            "http.route": ROUTE,
            "tidegate.listener": LISTENER,
        };
        /// Size of response bodies as sent.
        server_response_body_size: Histogram "http.server.response.body.size", "By" [SIZE], {
            "http.request.method": METHOD,
            "http.response.status_code": STATUS,
            "network.protocol.version": VERSION,
            "url.scheme": SCHEME,
            "error.type": ERROR,
            "http.route": ROUTE,
            "tidegate.listener": LISTENER,
        };
        /// Time from the start of an attempt to the end of the upstream's response, or to its failure.
        client_request_duration: Histogram "http.client.request.duration", "s" [DURATION], {
            "http.request.method": METHOD,
            "http.response.status_code": STATUS,
            "error.type": ERROR,
            "server.address": "hosts of the upstream's endpoints",
            "server.port": "ports of the upstream's endpoints",
            "tidegate.upstream": UPSTREAM,
        };
        /// Attempts under way.
        client_active_requests: Gauge "http.client.active_requests", "{request}", {
            "server.address": "hosts of the upstream's endpoints",
            "server.port": "ports of the upstream's endpoints",
            "tidegate.upstream": UPSTREAM,
        };
        /// Connections to upstreams that are open.
        client_open_connections: Gauge "http.client.open_connections", "{connection}", {
            "http.connection.state": "`active`, `idle`",
            "server.address": "hosts of the upstream's endpoints",
            "server.port": "ports of the upstream's endpoints",
            "tidegate.upstream": UPSTREAM,
        };
        /// Exchanges that failed, by who caused it and why.
        errors: Counter "tidegate.errors", "{error}", {
            "source": "`client`, `upstream`, `plugin`, `proxy`",
            "reason": "the error reasons below",
            "route": ROUTE_NAME,
        };
        /// Retries on a fresh connection, after a reused one turned out dead.
        retries: Counter "tidegate.retries", "{retry}", { "upstream": UPSTREAM };
        /// WebSocket sessions that were opened.
        websocket_sessions: Counter "tidegate.websocket.sessions", "{session}", { "route": ROUTE_NAME };
        /// WebSocket sessions that are open.
        websocket_active: Gauge "tidegate.websocket.active", "{session}", { "route": ROUTE_NAME };
        /// Time from a session's 101 to its end.
        websocket_duration: Histogram "tidegate.websocket.duration", "s" [SESSION], { "route": ROUTE_NAME };
        /// Bytes of sessions, frames and all.
        websocket_io: Counter "tidegate.websocket.io", "By", {
            "route": ROUTE_NAME,
            "direction": "`receive` (from the client), `transmit` (to the client)",
        };
    }
}
