//! Why a plugin could not do something, and what the host refused.
//! It decides nothing; the host turns an error of a hook into what the plugin's `on_failure` says.

use std::fmt;

use tidegate_abi::status;

/// `Result` with the SDK's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a hook failed, or why `configure` refuses its configuration. Any standard error becomes one with `?`.
pub struct Error(Box<str>);

/// Why the host did not do what was asked. The host counts it; nothing else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such thing, for example no response yet, or no upstream of that name.
    Absent,
    /// The plugin's budget for this is used up.
    Budget,
    /// A name or a value is not valid, or is the proxy's own.
    Invalid,
    /// Not possible in this hook.
    Stage,
    /// The operator does not allow it.
    Denied,
    /// The name is taken by something of another shape; or a value of the store is not what was expected.
    Conflict,
}

// === impl Error ===

impl Error {
    /// An error that says `message`: lower case, no full stop.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string().into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self(message.into())
    }
}

// === impl Refused ===

impl Refused {
    /// The refusal that a host function's negative result means; a result that is not negative is the value.
    pub(crate) const fn check(result: i32) -> Result<i32, Self> {
        match result {
            0.. => Ok(result),
            status::ABSENT => Err(Self::Absent),
            status::BUDGET => Err(Self::Budget),
            status::STAGE => Err(Self::Stage),
            status::DENIED => Err(Self::Denied),
            status::CONFLICT => Err(Self::Conflict),
            _ => Err(Self::Invalid),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "there is no such value",
            Self::Budget => "the budget for it is used up",
            Self::Invalid => "it is not valid",
            Self::Stage => "it is not possible in this hook",
            Self::Denied => "it is not allowed here",
            Self::Conflict => "its name is taken by something of another shape",
        })
    }
}

impl std::error::Error for Refused {}
