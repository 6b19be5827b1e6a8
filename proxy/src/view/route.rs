//! Routes and limits as an exchange needs them: what is known of them once, and not for each request.
//! It asks no plugin.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_abi::Hook;

use super::Ticking;
use crate::limit::{Decision, Limiter, Subject};
use crate::route::config::{PathMatch, Rewrite};
use crate::telemetry::scope::RouteScope;

/// What stays with the record of headers that go on with their message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    /// What a plugin can read, in one piece.
    Copy,
    /// All of it, for who may change it and send it once more, or looks for a header by its name.
    Map,
}

/// A route as an exchange needs it.
#[derive(Debug)]
pub struct RouteView {
    pub scope: Rc<RouteScope>,
    pub path: PathMatch,
    pub rewrite: Rewrite,
    /// Index of the upstream.
    pub upstream: usize,
    /// Indices of the limits, in order.
    pub limits: Vec<usize>,
    /// Indices of the plugins, in order.
    pub plugins: Vec<usize>,
    pub chain: Chain,
    pub timeout: Option<Duration>,
    /// What stays of the request's headers when they are sent.
    pub keeps_request_head: Keep,
    /// What stays of the response's headers when they are sent.
    pub keeps_response_head: Keep,
    /// Whether a plugin looks at the request's body or its trailers.
    pub reads_request_body: bool,
    /// Whether a plugin looks at the response's body or its trailers.
    pub reads_response_body: bool,
    /// Whether a plugin is asked before an attempt, and may change what is sent.
    pub asks_before_attempts: bool,
    /// Whether a limit counts by what plugins say.
    pub has_late_limits: bool,
}

/// Which plugins of a route (positions in its `plugins`) have which hook. A hook that nobody has costs nothing.
#[derive(Debug, Default)]
pub struct Chain {
    /// By the hook's number.
    hooks: [Vec<usize>; Hook::ALL.len()],
}

/// A limit as an exchange needs it.
#[derive(Debug)]
pub struct LimitView {
    /// The worker's own copy, so that requests on different cores share no count.
    pub name: Arc<str>,
    /// Whether it is asked only after the plugins.
    pub is_late: bool,
    /// What plugins must have given a value.
    pub(super) key: Option<Arc<str>>,
    pub(super) limiter: Arc<Limiter>,
}

// === impl Chain ===

impl Chain {
    pub(super) fn new(plugins: &[usize], instances: &[Option<Rc<Ticking>>]) -> Self {
        let having = |hook: Hook| {
            plugins
                .iter()
                .enumerate()
                .filter(|&(_, &plugin)| match instances.get(plugin) {
                    Some(Some(plugin)) => plugin.instance.subscribes(hook),
                    // One that is not there is asked for once, where it can still refuse the request.
                    _ => hook == Hook::RequestHead,
                })
                .map(|(position, _)| position)
                .collect()
        };
        Self { hooks: Hook::ALL.map(having) }
    }

    /// Positions of the plugins that have the hook, in order.
    pub fn of(&self, hook: Hook) -> &[usize] {
        self.hooks.get(hook as usize).map(Vec::as_slice).unwrap_or_default()
    }
}

// === impl LimitView ===

impl LimitView {
    /// Whether a request for which plugins gave these values is counted at all.
    pub(crate) fn counts(&self, plugin_keys: &[(Box<str>, Bytes)]) -> bool {
        self.key.as_ref().is_none_or(|name| plugin_keys.iter().any(|(key, _)| **key == **name))
    }

    pub(crate) fn check(&self, subject: &Subject<'_>) -> Decision {
        self.limiter.check(subject)
    }
}
