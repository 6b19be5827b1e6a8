//! The configuration as a user writes it, key by key; the doc comments are the reference.
//! It checks nothing beyond the form of each value.

mod limit;
mod listener;
mod named;
mod plugin;
mod route;
mod telemetry;
mod upstream;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use limit::LimitFile;
pub use listener::{CertificateFile, HeadFile, ListenerFile, ListenerTlsFile};
pub use named::Named;
pub use plugin::{BudgetFile, CapabilityFile, IsolationFile, OnFailureFile, PluginFile};
pub use route::{MatchFile, RewriteFile, RouteFile};
pub use telemetry::{
    AccessLogFile, AlwaysFile, LogFormatFile, MetricsFile, OtlpFile, OtlpProtocolFile, ScrapeFile, ServiceFile,
    TelemetryFile, TracesFile,
};
pub use upstream::{
    BalanceFile, BreakerFile, EndpointFile, PoolFile, ProtocolFile, TimeoutsFile, UpstreamFile, UpstreamTlsFile,
};

use super::syntax::{AdminAddress, Text, Time, TimeLimit, Workers};

/// The configuration of Tidegate.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["listeners", "routes", "upstreams"]))]
pub struct File {
    /// The port for operators: metrics, health, reload.
    pub admin: AdminFile,
    /// How many threads serve traffic; `auto` is one per core that the process may use.
    #[schemars(example = &"auto", example = 4)]
    pub workers: Text<Workers>,
    /// How long connections are still accepted when the proxy is told to stop, while `/readyz` says no: as long as the load
    /// balancer in front needs to notice.
    #[schemars(example = &"5s")]
    pub drain_delay: Text<TimeLimit>,
    /// How long exchanges under way may go on when the proxy is told to stop.
    #[schemars(example = &"30s")]
    pub drain_timeout: Text<Time>,
    /// The sockets that clients connect to.
    #[schemars(length(min = 1))]
    pub listeners: Vec<ListenerFile>,
    /// What holds for every route that does not say otherwise.
    pub defaults: DefaultsFile,
    /// Which requests go where. The first route that matches wins.
    #[schemars(length(min = 1))]
    pub routes: Vec<RouteFile>,
    /// The services behind the proxy, by name.
    pub upstreams: Named<UpstreamFile>,
    /// Policies on how much traffic is let through, by name. They act where a route lists them.
    pub limits: Named<LimitFile>,
    /// Plugins, by name. They act where a route or a listener lists them.
    pub plugins: Named<PluginFile>,
    /// Where compiled plugins are kept, so that the next start need not compile them again: `true` is
    /// `$XDG_CACHE_HOME/tidegate` or `~/.cache/tidegate`, and nowhere where the process has neither; `false` is nowhere.
    pub plugin_cache: PluginCacheFile,
    /// What leaves the proxy about the traffic.
    pub telemetry: TelemetryFile,
}

/// Where compiled plugins are kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum PluginCacheFile {
    Usual(bool),
    Directory {
        /// A directory that only the proxy's user can write to: what stands there is run as it is. Made where it is
        /// missing. Relative to the directory of the configuration.
        #[schemars(length(min = 1), example = &"/var/lib/tidegate/compiled")]
        directory: String,
    },
}

/// The port for operators.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminFile {
    /// Where it listens. Whoever reaches it can read everything and reload the configuration.
    #[schemars(example = &"127.0.0.1:9901", example = &"off")]
    pub address: Text<AdminAddress>,
}

/// What holds for every route that does not say otherwise.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DefaultsFile {
    /// The whole exchange, from the request's head to the end of the response's body. WebSockets are not meant.
    #[schemars(example = &"30s", example = &"off")]
    pub timeout: Text<TimeLimit>,
    /// Names of limits, checked in order.
    #[schemars(example = ["per-client"])]
    pub limits: Vec<String>,
    /// Names of plugins, in the order in which they see a request.
    #[schemars(example = ["ids"])]
    pub plugins: Vec<String>,
}

// === impl File ===

impl Default for File {
    fn default() -> Self {
        Self {
            admin: AdminFile::default(),
            workers: Text(Workers(None)),
            drain_delay: Text(TimeLimit(None)),
            drain_timeout: Text(Time(Duration::from_secs(30))),
            listeners: Vec::new(),
            defaults: DefaultsFile::default(),
            routes: Vec::new(),
            upstreams: Named::default(),
            limits: Named::default(),
            plugins: Named::default(),
            plugin_cache: PluginCacheFile::Usual(true),
            telemetry: TelemetryFile::default(),
        }
    }
}

impl Default for AdminFile {
    fn default() -> Self {
        Self { address: Text(AdminAddress(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9901))))) }
    }
}

impl Default for DefaultsFile {
    fn default() -> Self {
        Self { timeout: Text(TimeLimit(Some(Duration::from_secs(30)))), limits: Vec::new(), plugins: Vec::new() }
    }
}
