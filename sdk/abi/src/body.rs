//! How a body hook wants its body.
//! It knows nothing of how the host holds one back.

/// Which body is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Body {
    /// The request's.
    Request = 0,
    /// The response's.
    Response = 1,
}

/// What a body hook is called with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i32)]
pub enum Mode {
    /// Each piece as it passes; it cannot be changed. The mode that is there without [`crate::imports::BODY_MODE`].
    #[default]
    Stream = 0,
    /// Each piece as it passes, and it may be changed: the message loses its `content-length`.
    Rewrite = 1,
    /// Once, with the first bytes, as many as the limit says or fewer where the body is shorter. The head waits for that.
    Peek = 2,
    /// Once, with the whole body. The head waits for that.
    Buffer = 3,
    /// Not at all.
    Skip = 4,
}

/// What becomes of a body that is longer than a hook's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i32)]
pub enum Overflow {
    /// It passes, and the hook is not called.
    #[default]
    Pass = 0,
    /// It is refused: a request with 413, a response with 502.
    Reject = 1,
    /// The plugin has failed; its `on_failure` decides.
    Fail = 2,
}

impl Body {
    /// The body with this number.
    pub const fn from_i32(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Request),
            1 => Some(Self::Response),
            _ => None,
        }
    }
}

impl Mode {
    /// The mode with this number.
    pub const fn from_i32(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Stream),
            1 => Some(Self::Rewrite),
            2 => Some(Self::Peek),
            3 => Some(Self::Buffer),
            4 => Some(Self::Skip),
            _ => None,
        }
    }

    /// Whether the head waits for the hook, so that it can still be changed.
    pub const fn holds_head(self) -> bool {
        matches!(self, Self::Peek | Self::Buffer)
    }
}

impl Overflow {
    /// The policy with this number.
    pub const fn from_i32(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Pass),
            1 => Some(Self::Reject),
            2 => Some(Self::Fail),
            _ => None,
        }
    }
}
