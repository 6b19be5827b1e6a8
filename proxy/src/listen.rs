//! Sockets that clients connect to: binding, accepting, TLS.
//! It knows no HTTP.

pub mod accept;
pub mod socket;
pub mod tls;
pub mod connections;
pub mod config;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use accept::Acceptor;
pub use connections::{Admitted, ConnectionLimit, Full};
pub use socket::Socket;

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}: {cause}{advice}")]
    Bind { address: SocketAddr, cause: io::Error, advice: &'static str },
    #[error("cannot read {}: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{}: {problem}", path.display())]
    Certificate { path: PathBuf, problem: String },
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    KeyMismatch { certificate: PathBuf, key: PathBuf },
    #[error("TLS without a certificate")]
    NoCertificate,
    #[error("cannot set up TLS: {0}")]
    Tls(rustls::Error),
}
