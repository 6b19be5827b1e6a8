//! Which route a request takes: host, path, method and headers; pure.
//! It allocates nothing for a look-up, and does not know what a route does.

pub mod config;
pub mod host;
pub mod normal;
pub mod rewrite;
pub mod rule;
pub mod template;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, Method};

use self::config::{Host, Match};

/// All rules in order, indexed by host. Immutable and shared by all workers.
///
/// The index is built so that a look-up hashes the host once (and once for each of its parent domains when it is not
/// listed itself), then tries only the rules that can match this host, in the order they were written.
#[derive(Debug)]
pub struct Router {
    rules: Vec<Match>,
    /// For each host that a rule names: every rule that can match it, in order.
    exact: HashMap<Arc<str>, Vec<usize>>,
    /// For each wildcard's suffix (`.example.com`): the rules that can match a host below it that `exact` does not list
    /// and no longer suffix covers.
    wildcard: HashMap<Arc<str>, Vec<usize>>,
    /// Rules for any host.
    any: Vec<usize>,
}

/// What of a request decides its route.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Index of the listener.
    pub listener: usize,
    /// Lower case, without the port.
    pub host: &'a str,
    /// As [`normal::path`] returned it, without the query.
    pub path: &'a str,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
}

/// Why a host, a prefix or a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("a host is a name or an address without a port, like `api.example.com` or `*.example.com`")]
    Host,
    #[error("a wildcard stands for the first label only, like `*.example.com`")]
    Wildcard,
    #[error("a path begins with `/`")]
    NotAbsolute,
    #[error("a path has no query or fragment")]
    Query,
    #[error("{0}")]
    Path(#[from] normal::Bad),
    #[error("would never match as written: requests are compared as `{0}`")]
    NotNormal(String),
    #[error("a character that no request's path can have")]
    Character,
    #[error("`{0}` is not a whole segment: write `/{{name}}/`")]
    PartOfSegment(String),
    #[error("the parameter `{0}` has no name of letters, digits and `_`")]
    ParameterName(String),
    #[error("the parameter `{0}` is there twice")]
    Repeated(String),
    #[error("`{{*{0}}}` takes all that is left, so it must be the last segment")]
    RestNotLast(String),
}

// === impl Router ===

impl Router {
    /// Indexes the rules; [`Router::find`] returns positions in this order.
    pub fn new(rules: impl IntoIterator<Item = Match>) -> Self {
        let rules: Vec<Match> = rules.into_iter().collect();
        let mut exact: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        let mut wildcard: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for host in rules.iter().flat_map(|rule| &rule.hosts) {
            match host {
                Host::Exact(name) => exact.entry(name.clone()).or_default(),
                Host::Wildcard(suffix) => wildcard.entry(suffix.clone()).or_default(),
            };
        }
        for (host, candidates) in &mut exact {
            *candidates = positions(&rules, |rule| rule.accepts_host(host));
        }
        for (suffix, candidates) in &mut wildcard {
            // A host below the suffix is below each shorter one as well.
            *candidates = positions(&rules, |rule| {
                rule.hosts.is_empty()
                    || rule.hosts.iter().any(|host| matches!(host, Host::Wildcard(other) if suffix.ends_with(&**other)))
            });
        }
        let any = positions(&rules, |rule| rule.hosts.is_empty());
        Self { rules, exact, wildcard, any }
    }

    /// The position of the first rule that matches.
    pub fn find(&self, request: &Request<'_>) -> Option<usize> {
        // `example.com.` is the same name as `example.com`.
        let host = request.host.strip_suffix('.').unwrap_or(request.host);
        self.candidates(host)
            .iter()
            .copied()
            .find(|&position| self.rules.get(position).is_some_and(|rule| rule.accepts_rest(request)))
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Match] {
        &self.rules
    }

    fn candidates(&self, host: &str) -> &[usize] {
        if let Some(candidates) = self.exact.get(host) {
            return candidates;
        }
        if !self.wildcard.is_empty() {
            // The longest suffix first; its list holds the shorter ones' rules too.
            for (at, _) in host.match_indices('.').filter(|(at, _)| *at > 0) {
                if let Some(candidates) = host.get(at..).and_then(|suffix| self.wildcard.get(suffix)) {
                    return candidates;
                }
            }
        }
        &self.any
    }
}

fn positions(rules: &[Match], accepts: impl Fn(&Match) -> bool) -> Vec<usize> {
    rules.iter().enumerate().filter(|(_, rule)| accepts(rule)).map(|(position, _)| position).collect()
}
