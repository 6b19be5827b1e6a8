//! `listeners`: the sockets that clients connect to.
//! It binds and opens nothing.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::syntax::{Name, Size, Text, Time};
use crate::wire::config::Network;

/// A socket that clients connect to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerFile {
    /// Its name in metrics, logs and routes; the address where it has none.
    #[schemars(example = &"web")]
    pub name: Option<Text<Name>>,
    /// The address to listen on.
    #[schemars(example = &"0.0.0.0:8080", example = &"[::]:8443")]
    pub address: Text<SocketAddr>,
    /// Speak TLS, with HTTP/2 and HTTP/1.1 by ALPN. Without it the listener speaks cleartext HTTP/1.1 and HTTP/2.
    pub tls: Option<ListenerTlsFile>,
    /// The proxies in front whose `Forwarded`, `X-Forwarded-*` and `X-Real-IP` are believed; anybody else's are removed.
    #[serde(default)]
    #[schemars(example = ["10.0.0.0/8", "fd00::/8"])]
    pub trusted_proxies: Vec<Text<Network>>,
    /// How many connections may be open at once, over all workers.
    #[serde(default = "max_connections")]
    #[schemars(range(min = 1, max = 10_000_000), example = 20_000)]
    pub max_connections: NonZeroU32,
    /// What the head of a request may be.
    #[serde(default)]
    pub head: HeadFile,
    /// How long a connection may be silent: between requests, and within a body that the client owes.
    #[serde(default = "idle_timeout")]
    #[schemars(example = &"75s")]
    pub idle_timeout: Text<Time>,
    /// Names of plugins whose hooks for connections run here, in order. Their other hooks run where a route lists them.
    #[serde(default)]
    #[schemars(example = ["guard"])]
    pub plugins: Vec<String>,
}

/// TLS towards clients.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTlsFile {
    /// The certificates, chosen by the host that a client asks for; the first is for clients that name none.
    #[schemars(length(min = 1))]
    pub certificates: Vec<CertificateFile>,
}

/// A certificate and its key.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFile {
    /// A PEM file with the chain, the server's own certificate first. Relative to the directory of the configuration.
    #[schemars(length(min = 1), example = &"certs/site.pem")]
    pub certificate: String,
    /// A PEM file with the private key. Relative to the directory of the configuration.
    #[schemars(length(min = 1), example = &"certs/site.key")]
    pub key: String,
}

/// What the head of a request may be.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeadFile {
    /// From the request line to the empty line.
    #[schemars(extend("x-min" = "1KiB", "x-max" = "1MiB"), example = &"32KiB")]
    pub max_size: Text<Size>,
    /// How many headers it may have.
    #[schemars(range(min = 1, max = 1000), example = 100)]
    pub max_headers: u32,
    /// From the first byte of the connection, or the end of the request before, to the empty line.
    #[schemars(example = &"10s")]
    pub timeout: Text<Time>,
}

fn max_connections() -> NonZeroU32 {
    const { NonZeroU32::new(10_000).unwrap() }
}

fn idle_timeout() -> Text<Time> {
    Text(Time(Duration::from_secs(75)))
}

impl Default for HeadFile {
    fn default() -> Self {
        Self { max_size: Text(Size(32 << 10)), max_headers: 100, timeout: Text(Time(Duration::from_secs(10))) }
    }
}
