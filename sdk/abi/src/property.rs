//! What a plugin can read of an exchange, by number.
//! It knows nothing of where the host keeps these facts.

macro_rules! properties {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub enum $name { $($(#[$doc])* $variant = $number,)* }

        impl $name {
            /// Every property, by rising number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The property with this number.
            pub const fn from_i32(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

properties! {
    /// A text of the exchange: bytes that are UTF-8 unless said otherwise.
    Text {
        /// The request's method.
        Method = 0,
        /// `http` or `https`, as the client spoke to us, or to a trusted proxy that says so.
        Scheme = 1,
        /// The request's host, without the port.
        Host = 2,
        /// The path, as received (bytes).
        Path = 3,
        /// The query, without its `?`; absent where there is none (bytes).
        Query = 4,
        /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
        Protocol = 5,
        /// The listener's name.
        Listener = 6,
        /// The route's name; absent where none matched.
        Route = 7,
        /// The route's template, as in the `http.route` attribute.
        RouteTemplate = 8,
        /// The upstream's name.
        Upstream = 9,
        /// The endpoint that was chosen, `address:port`.
        Endpoint = 10,
        /// The client's address, after trusted proxies.
        ClientAddress = 11,
        /// The address of the peer that is connected to us, `address:port`.
        PeerAddress = 12,
        /// The trace id, 32 hexadecimal digits.
        TraceId = 13,
        /// The id of the exchange's own span, 16 hexadecimal digits.
        SpanId = 14,
        /// The correlation id.
        CorrelationId = 15,
        /// The header that carries the correlation id.
        CorrelationHeader = 16,
        /// Why the exchange failed, from the documented closed list; absent where it did not.
        ErrorReason = 17,
        /// Who made it fail: `client`, `upstream`, `plugin` or `proxy`.
        ErrorSource = 18,
        /// The plugin's own name in the configuration.
        PluginName = 19,
        /// Why the last attempt failed, from the documented closed list; absent where it did not.
        AttemptError = 20,
        /// The name of the limit that decided; in `limit_decision`.
        Limit = 21,
        /// `allowed` or `limited`; in `limit_decision`.
        Decision = 22,
        /// `closed`, `half_open` or `open`: what the breaker is now; in `breaker_transition`.
        BreakerState = 23,
    }
}

properties! {
    /// A number of the exchange.
    Number {
        /// The response's status; absent before there is one.
        Status = 0,
        /// Bytes of the request's body so far.
        RequestBytes = 1,
        /// Bytes of the response's body so far.
        ResponseBytes = 2,
        /// Nanoseconds since the exchange began; in `log`, its whole duration.
        Duration = 3,
        /// Nanoseconds from sending the request upstream to the response's head; absent before.
        UpstreamDuration = 4,
        /// How many attempts were made upstream.
        Attempts = 5,
        /// When the exchange began, nanoseconds since the Unix epoch.
        StartTime = 6,
        /// 1 when the exchange's trace is sampled, else 0.
        Sampled = 7,
        /// 1 when the peer is a trusted proxy, else 0.
        TrustedPeer = 8,
        /// 1 when the exchange is a WebSocket, else 0.
        WebSocket = 9,
        /// Bytes of the piece of a body at hand; in the body hooks.
        PieceBytes = 10,
        /// 1 when the piece at hand is the body's last, else 0; in the body hooks.
        PieceIsLast = 11,
        /// Nanoseconds that the last attempt has taken: to the response's head, to its failure, or so far.
        AttemptDuration = 12,
        /// The status that the last attempt was answered with.
        AttemptStatus = 13,
        /// 1 when the last attempt went over a kept connection, else 0.
        AttemptReused = 14,
        /// Exchanges that the connection has carried; in `connection_close`.
        ConnectionExchanges = 15,
        /// Events that could not be kept for this plugin since the one before; in `limit_decision` and `breaker_transition`.
        EventsLost = 16,
    }
}
