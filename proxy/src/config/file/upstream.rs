//! `upstreams`: the services behind the proxy.
//! It resolves and connects nothing.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::syntax::{EndpointAddress, Rate, Text, Time};

/// A group of endpoints that serve the same thing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamFile {
    /// Where it can be reached.
    #[schemars(length(min = 1), example = ["10.0.0.5:3000"])]
    pub endpoints: Vec<EndpointFile>,
    /// How to speak to it.
    #[serde(default)]
    pub protocol: ProtocolFile,
    /// Speak TLS to it; `{}` is enough where its certificate is issued by an authority of the system.
    pub tls: Option<UpstreamTlsFile>,
    /// How an endpoint is chosen for a request.
    #[serde(default)]
    pub balance: BalanceFile,
    /// How long it may take.
    #[serde(default)]
    pub timeouts: TimeoutsFile,
    /// The connections that are kept for later requests, per worker.
    #[serde(default)]
    pub pool: PoolFile,
    /// When to stop sending to it for a while. Without it, never.
    pub breaker: Option<BreakerFile>,
}

/// One endpoint: its address, or its address and weight.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum EndpointFile {
    Address(Text<EndpointAddress>),
    Weighted {
        /// An IP address or a name, and a port.
        #[schemars(example = &"10.0.0.6:3000")]
        address: Text<EndpointAddress>,
        /// Its share, in proportion to the other endpoints.
        #[serde(default = "one")]
        #[schemars(range(min = 1, max = 1000), example = 2)]
        weight: NonZeroU32,
    },
}

/// How to speak to an upstream.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolFile {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2; without `tls` by prior knowledge.
    Http2,
}

/// TLS towards an upstream.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTlsFile {
    /// The name to ask for and to verify; the endpoint's host where it is not given.
    #[schemars(length(min = 1), example = &"users.internal")]
    pub server_name: Option<String>,
    /// A PEM file with the authorities to trust, or with the upstream's own certificate where it signed that itself; the system's authorities
    /// where it is not given. Relative to the directory of the configuration.
    #[schemars(length(min = 1), example = &"certs/ca.pem")]
    pub ca: Option<String>,
    /// Verify the certificate. Without, anyone in between can read and change everything.
    pub verify: bool,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BalanceFile {
    /// One after the other, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way, by weight.
    LeastRequests,
}

/// How long an upstream may take.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsFile {
    /// Name look-up, TCP and TLS together.
    #[schemars(example = &"1s")]
    pub connect: Text<Time>,
    /// From the last byte of the request to the first of the response's head.
    #[schemars(example = &"15s")]
    pub head: Text<Time>,
    /// Between two pieces of the response's body, or while nothing is taken of the request's; for a WebSocket in both directions.
    #[schemars(example = &"60s")]
    pub idle: Text<Time>,
}

/// The connections that are kept, per worker.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoolFile {
    /// How many idle connections are kept for each endpoint.
    #[schemars(range(min = 0, max = 100_000), example = 64)]
    pub idle_per_endpoint: u32,
    /// A connection that was idle for so long is closed.
    #[schemars(example = &"60s")]
    pub idle_timeout: Text<Time>,
    /// A connection this old is not used again.
    #[schemars(example = &"10m")]
    pub lifetime: Text<Time>,
}

/// When to stop sending to an upstream.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerFile {
    /// Open after so many failures in a row; 5 where neither this nor `failure_budget` is given.
    #[schemars(range(min = 1, max = 1_000_000), example = 5)]
    pub consecutive_failures: Option<NonZeroU32>,
    /// Open when failures come faster than this.
    #[schemars(example = &"10/s")]
    pub failure_budget: Option<Text<Rate>>,
    /// How long it stays open before it lets probes through.
    #[schemars(example = &"5s")]
    pub open_for: Text<Time>,
    /// Requests let through while half open: so many successes close it, one failure opens it again.
    #[schemars(range(min = 1, max = 1000), example = 3)]
    pub probes: NonZeroU32,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn seconds(seconds: u64) -> Text<Time> {
    Text(Time(Duration::from_secs(seconds)))
}

impl Default for UpstreamTlsFile {
    fn default() -> Self {
        Self { server_name: None, ca: None, verify: true }
    }
}

impl Default for TimeoutsFile {
    fn default() -> Self {
        Self { connect: seconds(1), head: seconds(15), idle: seconds(60) }
    }
}

impl Default for PoolFile {
    fn default() -> Self {
        Self { idle_per_endpoint: 64, idle_timeout: seconds(60), lifetime: seconds(600) }
    }
}

impl Default for BreakerFile {
    fn default() -> Self {
        const PROBES: NonZeroU32 = NonZeroU32::new(3).unwrap();
        Self { consecutive_failures: None, failure_budget: None, open_for: seconds(5), probes: PROBES }
    }
}
