//! The hooks a plugin can subscribe to, and what it may answer.
//! It knows nothing of how either side runs one.

/// A hook. A module subscribes to it by exporting its [`export`](Hook::export).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// `() -> verdict`: once for each instance, before anything else.
    Configure,
    /// `()`: at the interval asked for while configuring.
    Tick,
    /// `(slot) -> verdict`: the request's head is there.
    RequestHead,
    /// `(slot) -> verdict`: the response's head is there.
    ResponseHead,
    /// `(slot)`: the exchange is over and its record complete.
    Log,
}

impl Hook {
    /// Every hook of this version, in the order in which an exchange meets them.
    pub const ALL: [Self; 5] = [Self::Configure, Self::Tick, Self::RequestHead, Self::ResponseHead, Self::Log];

    /// The export by which a module subscribes.
    pub const fn export(self) -> &'static str {
        match self {
            Self::Configure => "tidegate_configure",
            Self::Tick => "tidegate_tick",
            Self::RequestHead => "tidegate_request_head",
            Self::ResponseHead => "tidegate_response_head",
            Self::Log => "tidegate_log",
        }
    }

    /// The value of the `hook` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Tick => "tick",
            Self::RequestHead => "request_head",
            Self::ResponseHead => "response_head",
            Self::Log => "log",
        }
    }
}

/// What a hook returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Verdict {
    /// Go on.
    Continue = 0,
    /// The hook waits for a ticket; the host calls [`crate::EXPORT_RESUME`] when it is answered.
    Pending = 1,
    /// Send the answer that was staged with [`crate::imports::REPLY`].
    Reply = 2,
    /// The plugin could not do its work (`configure`: it refuses its configuration).
    Fail = 3,
}

impl Verdict {
    /// The verdict with this number.
    pub const fn from_i32(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Continue),
            1 => Some(Self::Pending),
            2 => Some(Self::Reply),
            3 => Some(Self::Fail),
            _ => None,
        }
    }
}
