//! What a rate limit is, after every check.
//! It counts nothing.

use std::num::NonZeroUsize;
use std::sync::Arc;

use governor::Quota;
use http::header::HeaderName;

/// A policy on how much traffic is let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: Arc<str>,
    pub key: Key,
    pub quota: Quota,
    /// How many keys are remembered; the longest unused goes first.
    pub max_keys: NonZeroUsize,
}

/// What a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// All requests together.
    Global,
    /// Each route for itself.
    Route,
    /// Each client address; IPv6 by its first bits.
    ClientAddress { ipv6_prefix: u8 },
    /// Each value of a request header; requests without it share one key.
    Header(HeaderName),
    /// Each value that a plugin has set under this name; requests for which none has are not counted.
    Plugin(Arc<str>),
}

// === impl Key ===

impl Key {
    /// Whether the plugins of a request must have run before it can be counted.
    pub const fn is_set_by_plugins(&self) -> bool {
        matches!(self, Self::Plugin(_))
    }
}
