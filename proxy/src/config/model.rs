//! The configuration after every check: units in the types, names resolved, defaults filled in.
//! It knows nothing of the text it came from, and opens nothing. Each room's part lives in that room.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::limit::config::Limit;
use crate::listen::config::Listener;
use crate::plugin::config::Plugin;
use crate::route::config::{Match, Rewrite};
use crate::telemetry::config::Telemetry;
use crate::upstream::config::Upstream;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub admin: Admin,
    /// How many workers; `None` is one per core that the process may use.
    pub workers: Option<NonZeroUsize>,
    /// How long connections are still accepted after SIGTERM; `None` is not at all.
    pub drain_delay: Option<Duration>,
    /// How long exchanges under way may go on after that.
    pub drain_timeout: Duration,
    pub listeners: Vec<Listener>,
    /// In order: the first that matches wins.
    pub routes: Vec<Route>,
    pub upstreams: Vec<Upstream>,
    pub limits: Vec<Limit>,
    pub plugins: Vec<Plugin>,
    /// Where compiled plugins are kept; `None` is nowhere. It may be missing, and it may not be writable.
    pub plugin_cache: Option<PathBuf>,
    pub telemetry: Telemetry,
}

/// The admin port.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// `None` switches the admin port off.
    pub address: Option<SocketAddr>,
}

/// Which requests, and what becomes of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub name: Arc<str>,
    pub matcher: Match,
    pub rewrite: Rewrite,
    /// Index into [`Config::upstreams`].
    pub upstream: usize,
    /// Indices into [`Config::limits`], checked in order.
    pub limits: Vec<usize>,
    /// Indices into [`Config::plugins`], the chain in order of the request.
    pub plugins: Vec<usize>,
    /// The whole exchange, from the request's head to the end of the response's body; `None` for no limit. Not for WebSockets.
    pub timeout: Option<Duration>,
}
