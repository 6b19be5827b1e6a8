//! One rule: whether it accepts a request, and whether it leaves anything for a later rule.
//! It does not know the order of rules.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::Request;
use super::config::Match;

impl Match {
    /// Whether requests for this host (lower case, no port) can match.
    pub(super) fn accepts_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|rule| rule.matches(host))
    }

    /// Whether all but the host matches.
    pub(super) fn accepts_rest(&self, request: &Request<'_>) -> bool {
        self.path.matches(request.path)
            && (self.methods.is_empty() || self.methods.contains(request.method))
            && (self.listeners.is_empty() || self.listeners.contains(&request.listener))
            && self.headers.iter().all(|(name, value)| has_header(request.headers, name, value.as_ref()))
    }

    /// Whether `later`, standing behind this rule, can never match.
    ///
    /// It compares the two rules alone: a rule that several earlier ones hide together is not found.
    pub fn shadows(&self, later: &Self) -> bool {
        self.path.covers(&later.path)
            && covers_all(&self.hosts, &later.hosts, |wide, narrow| wide.covers(narrow))
            && covers_all(&self.methods, &later.methods, |wide, narrow| wide == narrow)
            && covers_all(&self.listeners, &later.listeners, |wide, narrow| wide == narrow)
            && self.headers.iter().all(|(name, value)| {
                later.headers.iter().any(|(other, narrow)| name == other && (value.is_none() || value == narrow))
            })
    }
}

/// Where an empty list means everything: whether each of `narrow` is covered by one of `wide`.
fn covers_all<T>(wide: &[T], narrow: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|narrow| wide.iter().any(|wide| covers(wide, narrow))))
}

fn has_header(headers: &HeaderMap, name: &HeaderName, value: Option<&HeaderValue>) -> bool {
    match value {
        None => headers.contains_key(name),
        Some(value) => headers.get_all(name).iter().any(|given| given == value),
    }
}
