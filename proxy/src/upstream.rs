//! The services behind us: endpoints, balance, connections, breaker.
//! It never decides to retry, and knows no plugin.
//!
//! [`Cluster`] is what all workers share of an upstream. [`Pools`] is one worker's connections; [`Client`] is one
//! worker's face of a cluster, made once for each version of the configuration.

pub mod config;
pub mod cluster;
pub mod breaker;
pub mod balance;
pub mod send;
pub mod pools;
pub mod outgoing;
pub mod connect;
pub mod resolve;
pub mod tls;
pub mod fault;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use self::breaker::{Admission, Breaker, Permit};
pub use self::cluster::Cluster;
pub use self::outgoing::Outgoing;
pub use self::pools::{Client, Lease, Pools};
pub use self::send::{Answer, Behalf, Retry, SendError};

/// Why an upstream cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the authorities in {path}")]
    ReadAuthorities { path: PathBuf, source: std::io::Error },
    #[error("no certificate in {path}")]
    NoAuthorities { path: PathBuf },
    #[error("a certificate in {path} cannot be used")]
    BadAuthority { path: PathBuf, source: rustls::Error },
    #[error("the system has no authorities to trust; name a file with `tls.ca`")]
    NoSystemAuthorities,
    #[error("`{0}` is no name that a certificate can be for")]
    ServerName(String),
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}
