//! Why an exchange failed: the closed list of reasons, each with who caused it and what the client is told.
//! It depends on nothing above it: no room's own error type is known here.

use std::fmt;

use http::StatusCode;

/// Who made an exchange fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// What the client sent, or did not send in time.
    Client,
    /// The service behind us.
    Upstream,
    /// A plugin.
    Plugin,
    /// A decision or a fault of our own.
    Proxy,
}

impl Source {
    /// The value in labels, log lines and spans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Plugin => "plugin",
            Self::Proxy => "proxy",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $source:ident, $status:ident;)*) => {
        /// Why an exchange failed. The same word stands in the metric label, the span's `error.type`, the log line and the body.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])+ $variant,)* }

        impl Reason {
            /// Every reason, in the order of the reference.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value in labels, log lines, spans and bodies.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Who caused it.
            pub const fn source(self) -> Source {
                match self { $(Self::$variant => Source::$source,)* }
            }

            /// The status we answer with, where an answer is still possible.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// One sentence for the reference and for operators.
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+).trim_ascii(),)* }
            }
        }
    };
}

reasons! {
    /// The request's head is not well-formed, or says two things at once.
    MalformedHead = "malformed_head", Client, BAD_REQUEST;
    /// The request's head is larger than `head.max_size` or has more headers than `head.max_headers`.
    HeadTooLarge = "head_too_large", Client, REQUEST_HEADER_FIELDS_TOO_LARGE;
    /// The request's head did not arrive within `head.timeout`.
    HeadTimeout = "head_timeout", Client, REQUEST_TIMEOUT;
    /// The request's body is not well-formed, or ended before its length.
    MalformedBody = "malformed_body", Client, BAD_REQUEST;
    /// The request's body is larger than a plugin of the route takes.
    BodyTooLarge = "body_too_large", Client, PAYLOAD_TOO_LARGE;
    /// The client sent nothing of the body it owed for `idle_timeout`.
    BodyTimeout = "body_timeout", Client, REQUEST_TIMEOUT;
    /// The request asks for an upgrade that is not a valid WebSocket handshake.
    InvalidUpgrade = "invalid_upgrade", Client, BAD_REQUEST;
    /// The client left before the answer was complete.
    ClientClosed = "client_closed", Client, BAD_REQUEST;
    /// The request asks for a WebSocket, and the route's upstream speaks HTTP/2, over which there is none.
    WebsocketUnsupported = "websocket_unsupported", Proxy, NOT_IMPLEMENTED;
    /// No route matches the request.
    NoRoute = "no_route", Proxy, NOT_FOUND;
    /// A rate limit said no.
    RateLimited = "rate_limited", Proxy, TOO_MANY_REQUESTS;
    /// The upstream's circuit breaker is open.
    BreakerOpen = "breaker_open", Proxy, SERVICE_UNAVAILABLE;
    /// The exchange took longer than the route's `timeout`.
    Timeout = "timeout", Proxy, GATEWAY_TIMEOUT;
    /// The proxy is shutting down.
    Draining = "draining", Proxy, SERVICE_UNAVAILABLE;
    /// A fault of the proxy itself.
    Internal = "internal", Proxy, INTERNAL_SERVER_ERROR;
    /// No endpoint of the upstream can be tried.
    NoEndpoint = "no_endpoint", Upstream, SERVICE_UNAVAILABLE;
    /// The connection to the endpoint was refused, or its address cannot be reached or resolved.
    ConnectFailed = "connect_failed", Upstream, BAD_GATEWAY;
    /// The connection to the endpoint was not there within `timeouts.connect`.
    ConnectTimeout = "connect_timeout", Upstream, GATEWAY_TIMEOUT;
    /// TLS with the endpoint failed: its certificate, name or protocol.
    TlsFailed = "tls_failed", Upstream, BAD_GATEWAY;
    /// The upstream closed the connection before its answer began.
    UpstreamClosed = "upstream_closed", Upstream, BAD_GATEWAY;
    /// The upstream's answer did not begin within `timeouts.head`.
    UpstreamHeadTimeout = "upstream_head_timeout", Upstream, GATEWAY_TIMEOUT;
    /// The upstream answered something that is not HTTP, or not what was asked for.
    UpstreamProtocol = "upstream_protocol", Upstream, BAD_GATEWAY;
    /// The upstream sent nothing of the body it owed, or took nothing of the request's, for `timeouts.idle`.
    UpstreamBodyTimeout = "upstream_body_timeout", Upstream, GATEWAY_TIMEOUT;
    /// The upstream ended its body before its length.
    UpstreamBodyIncomplete = "upstream_body_incomplete", Upstream, BAD_GATEWAY;
    /// The upstream's body is larger than a plugin of the route takes.
    UpstreamBodyTooLarge = "upstream_body_too_large", Upstream, BAD_GATEWAY;
    /// A plugin trapped, or returned what the ABI does not allow, and is set to fail closed.
    PluginTrap = "plugin_trap", Plugin, INTERNAL_SERVER_ERROR;
    /// A plugin ran into its deadline and is set to fail closed.
    PluginDeadline = "plugin_deadline", Plugin, INTERNAL_SERVER_ERROR;
    /// A plugin said that it could not do its work, and is set to fail closed.
    PluginFailed = "plugin_failed", Plugin, INTERNAL_SERVER_ERROR;
    /// A plugin of the route holds as many bytes of bodies as its `budget.bodies` allows, and must not pass over one.
    PluginOverloaded = "plugin_overloaded", Plugin, SERVICE_UNAVAILABLE;
    /// A plugin of the route is not loaded or quarantined, and is set to fail closed.
    PluginUnavailable = "plugin_unavailable", Plugin, SERVICE_UNAVAILABLE;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Reason;

    #[test]
    fn every_reason_has_its_own_word() {
        let words: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }
}
