//! Hosts in rules: reading them, and which host they match.
//! It does not know where a request's host was found.

use std::net::Ipv6Addr;

use super::Error;
use super::config::Host;

impl Host {
    /// Reads `api.example.com`, `*.example.com`, `192.0.2.1` or `[2001:db8::1]`.
    ///
    /// # Errors
    /// Where it is none of these, has a port, or a wildcard that is not the whole first label.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let lower = text.to_ascii_lowercase();
        if let Some(inner) = lower.strip_prefix('[') {
            let address =
                inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok()).ok_or(Error::Host)?;
            return Ok(Self::Exact(format!("[{address}]").into()));
        }
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        if let Some(below) = name.strip_prefix('*') {
            let domain = below.strip_prefix('.').ok_or(Error::Wildcard)?;
            return if is_name(domain) { Ok(Self::Wildcard(below.into())) } else { Err(Error::Wildcard) };
        }
        match (name.contains('*'), is_name(name)) {
            (true, _) => Err(Error::Wildcard),
            (false, true) => Ok(Self::Exact(name.into())),
            (false, false) => Err(Error::Host),
        }
    }

    /// Whether a request for this host (lower case, no port) matches.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            // Something must stand before the suffix.
            Self::Wildcard(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        }
    }

    /// Whether every host that `other` matches is matched by this one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(_), Self::Wildcard(_)) => false,
            (Self::Wildcard(wide), Self::Wildcard(narrow)) => narrow.ends_with(&**wide),
            (_, Self::Exact(name)) => self.matches(name),
        }
    }
}

/// Labels of letters, digits, `-` and `_` (which names inside a network have).
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}
