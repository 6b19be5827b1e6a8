//! What a listener is, after every check.
//! It binds nothing.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::wire::config::{HeadLimits, Network};

/// A socket that clients connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub tls: Option<Tls>,
    pub trusted_proxies: Vec<Network>,
    /// Over all workers.
    pub max_connections: NonZeroU32,
    pub head: HeadLimits,
    /// How long a connection may be silent: between requests, and within a body that the client owes.
    pub idle_timeout: Duration,
    /// Indices into the configuration's plugins: whose hooks for connections run here, in order.
    pub plugins: Vec<usize>,
}

/// The certificates of a listener; the first is for clients that name no host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub certificates: Vec<Certificate>,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}
