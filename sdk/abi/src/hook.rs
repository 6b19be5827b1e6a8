//! The hooks a plugin can subscribe to, and what it may answer.
//! It knows nothing of how either side runs one.

/// A hook. A module subscribes to it by exporting its [`export`](Hook::export).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// Once for each instance, before anything else.
    Configure,
    /// Another instance of a newer generation is about to take over: the time to hand over what it shall know.
    HandOver,
    /// At the interval asked for while configuring.
    Tick,
    /// A client has connected.
    ConnectionOpen,
    /// The request's head is there.
    RequestHead,
    /// A piece of the request's body is there.
    RequestBody,
    /// The request's trailers are there.
    RequestTrailers,
    /// An endpoint was picked; the request is about to be sent there. Once for each attempt.
    UpstreamChosen,
    /// An attempt failed.
    UpstreamError,
    /// The request is about to be sent once more, after an attempt that failed.
    Retry,
    /// The response's head is there.
    ResponseHead,
    /// A piece of the response's body is there.
    ResponseBody,
    /// The response's trailers are there.
    ResponseTrailers,
    /// The exchange is over and its record complete.
    Log,
    /// A client's connection is closed, and the last of its exchanges is over.
    ConnectionClose,
    /// A rate limit has let a request pass, or not. Arrives later, outside of the exchange.
    LimitDecision,
    /// A breaker has changed its state. Arrives later, outside of the exchange.
    BreakerTransition,
}

/// The type of a hook's export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// `() -> i32`: a verdict.
    Plain,
    /// `(slot: i32) -> i32`: a verdict.
    Deciding,
    /// `(slot: i32)`: nothing is left to decide.
    Noting,
}

impl Hook {
    /// Every hook of this version, in the order in which a plugin may meet them; `ALL[hook as usize]` is `hook`.
    pub const ALL: [Self; 17] = [
        Self::Configure,
        Self::HandOver,
        Self::Tick,
        Self::ConnectionOpen,
        Self::RequestHead,
        Self::RequestBody,
        Self::RequestTrailers,
        Self::UpstreamChosen,
        Self::UpstreamError,
        Self::Retry,
        Self::ResponseHead,
        Self::ResponseBody,
        Self::ResponseTrailers,
        Self::Log,
        Self::ConnectionClose,
        Self::LimitDecision,
        Self::BreakerTransition,
    ];

    /// The export by which a module subscribes.
    pub const fn export(self) -> &'static str {
        match self {
            Self::Configure => "tidegate_configure",
            Self::HandOver => "tidegate_hand_over",
            Self::Tick => "tidegate_tick",
            Self::ConnectionOpen => "tidegate_connection_open",
            Self::RequestHead => "tidegate_request_head",
            Self::RequestBody => "tidegate_request_body",
            Self::RequestTrailers => "tidegate_request_trailers",
            Self::UpstreamChosen => "tidegate_upstream_chosen",
            Self::UpstreamError => "tidegate_upstream_error",
            Self::Retry => "tidegate_retry",
            Self::ResponseHead => "tidegate_response_head",
            Self::ResponseBody => "tidegate_response_body",
            Self::ResponseTrailers => "tidegate_response_trailers",
            Self::Log => "tidegate_log",
            Self::ConnectionClose => "tidegate_connection_close",
            Self::LimitDecision => "tidegate_limit_decision",
            Self::BreakerTransition => "tidegate_breaker_transition",
        }
    }

    /// The value of the `hook` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::HandOver => "hand_over",
            Self::Tick => "tick",
            Self::ConnectionOpen => "connection_open",
            Self::RequestHead => "request_head",
            Self::RequestBody => "request_body",
            Self::RequestTrailers => "request_trailers",
            Self::UpstreamChosen => "upstream_chosen",
            Self::UpstreamError => "upstream_error",
            Self::Retry => "retry",
            Self::ResponseHead => "response_head",
            Self::ResponseBody => "response_body",
            Self::ResponseTrailers => "response_trailers",
            Self::Log => "log",
            Self::ConnectionClose => "connection_close",
            Self::LimitDecision => "limit_decision",
            Self::BreakerTransition => "breaker_transition",
        }
    }

    /// The type that the export must have.
    pub const fn signature(self) -> Signature {
        match self {
            Self::Configure | Self::HandOver => Signature::Plain,
            Self::Log => Signature::Noting,
            _ => Signature::Deciding,
        }
    }

    /// Whether an answer of the plugin's can still be given instead of going on; `holds_head`: the head of the message still waits.
    pub const fn takes_reply(self, holds_head: bool) -> bool {
        match self {
            Self::RequestHead
            | Self::RequestBody
            | Self::RequestTrailers
            | Self::UpstreamChosen
            | Self::UpstreamError
            | Self::Retry
            | Self::ResponseHead => true,
            Self::ResponseBody => holds_head,
            Self::Configure
            | Self::HandOver
            | Self::Tick
            | Self::ConnectionOpen
            | Self::ResponseTrailers
            | Self::Log
            | Self::ConnectionClose
            | Self::LimitDecision
            | Self::BreakerTransition => false,
        }
    }

    /// Whether the hook runs for an exchange; the others have no headers, no log fields and no spans.
    pub const fn has_exchange(self) -> bool {
        !matches!(
            self,
            Self::Configure
                | Self::HandOver
                | Self::Tick
                | Self::ConnectionOpen
                | Self::ConnectionClose
                | Self::LimitDecision
                | Self::BreakerTransition
        )
    }
}

/// What a hook returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Verdict {
    /// Go on.
    Continue = 0,
    /// The hook waits for its tickets; the host calls [`crate::EXPORT_RESUME`] whenever one is answered.
    Pending = 1,
    /// Send the answer that was staged with [`crate::imports::REPLY`].
    Reply = 2,
    /// The plugin could not do its work (`configure`: it refuses its configuration).
    Fail = 3,
    /// Close the connection; only of [`Hook::ConnectionOpen`].
    Close = 4,
}

impl Verdict {
    /// The verdict with this number.
    pub const fn from_i32(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Continue),
            1 => Some(Self::Pending),
            2 => Some(Self::Reply),
            3 => Some(Self::Fail),
            4 => Some(Self::Close),
            _ => None,
        }
    }
}
