//! What is compared: the cases, and the two sides of each with the same work to do.
//! It prints nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tidegate_tests::{Collector, Proxy, collector, proxy};

use crate::nginx::{Extras, Nginx};
use crate::{Measured, cpu, echo, guest, http_load};

/// One comparison.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    /// What the peer is, and does meanwhile.
    pub against: &'static str,
    pub bar: Bar,
    peer: Peer,
    websocket: bool,
    tidegate: Config,
}

/// What Tidegate's cost may be.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// So many times the peer's.
    Ratio(f64),
    /// So many microseconds more than the peer's.
    Added(f64),
}

/// Who is compared with.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Nginx(Extras),
    /// Tidegate itself, with another configuration.
    Tidegate(Config),
}

/// Makes a configuration, in which `BACKEND` stands for the backend's address.
type Config = fn(Option<&Collector>) -> String;

/// All of them.
pub const CASES: &[Case] = &[
    Case {
        name: "bare",
        against: "nginx bare",
        bar: Bar::Ratio(1.15),
        peer: Peer::Nginx(Extras::None),
        websocket: false,
        tidegate: bare,
    },
    Case {
        name: "log+limit",
        against: "nginx with log and limit",
        bar: Bar::Ratio(1.5),
        peer: Peer::Nginx(Extras::LogAndLimit),
        websocket: false,
        tidegate: log_and_limit,
    },
    Case {
        name: "everything",
        against: "nginx with log and limit",
        bar: Bar::Ratio(1.5),
        peer: Peer::Nginx(Extras::LogAndLimit),
        websocket: false,
        tidegate: everything,
    },
    Case {
        name: "three-hooks",
        against: "the same without the plugin",
        bar: Bar::Added(1.0),
        peer: Peer::Tidegate(bare),
        websocket: false,
        tidegate: three_hooks,
    },
    Case {
        name: "no-hooks",
        against: "the same without the 20 plugins",
        // Nothing, within what two measurements of the same differ by.
        bar: Bar::Added(0.3),
        peer: Peer::Tidegate(bare),
        websocket: false,
        tidegate: no_hooks,
    },
    Case {
        name: "websocket",
        against: "nginx, which counts nothing",
        bar: Bar::Ratio(1.1),
        peer: Peer::Nginx(Extras::None),
        websocket: true,
        tidegate: bare,
    },
];

/// One proxy with its backend, ready for load.
pub enum Side {
    Nginx { proxy: Nginx, _backend: Option<Nginx> },
    Tidegate { name: &'static str, proxy: Proxy, _backend: Option<Nginx>, _collector: Option<Collector> },
}

impl Bar {
    /// Whether a cost beside the peer's is within it.
    pub fn is_reached(self, cost: f64, peer: f64) -> bool {
        match self {
            Self::Ratio(most) => cost / peer <= most,
            Self::Added(most) => cost - peer <= most,
        }
    }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ratio(most) => write!(f, "at most {most:.2}x"),
            Self::Added(most) => write!(f, "at most {most:.1} us more"),
        }
    }
}

impl Side {
    pub fn start_peer(case: &Case) -> Self {
        match case.peer {
            Peer::Nginx(extras) => {
                let (address, backend) = backend(case);
                Self::Nginx { proxy: Nginx::proxy(address, extras), _backend: backend }
            }
            Peer::Tidegate(config) => Self::start(case, "without", config),
        }
    }

    pub fn start_tidegate(case: &Case) -> Self {
        Self::start(case, "tidegate", case.tidegate)
    }

    fn start(case: &Case, name: &'static str, config: Config) -> Self {
        let (address, backend) = backend(case);
        let collector = (case.name == "everything").then(collector);
        let config = config(collector.as_ref()).replace("BACKEND", &address.to_string());
        let proxy = proxy().file("three.wasm", guest::three_hooks()).file("none.wasm", guest::no_hook());
        let proxy = proxy.config("workers: 1").config(config).start();
        cpu::pin(proxy.id(), cpu::PROXY_CORE);
        Self::Tidegate { name, proxy, _backend: backend, _collector: collector }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Nginx { .. } => "nginx",
            Self::Tidegate { name, .. } => name,
        }
    }

    /// Loads it for so long and says what that cost.
    pub fn load(&self, case: &Case, time: Duration) -> Measured {
        let (process, address) = match self {
            Self::Nginx { proxy, .. } => (proxy.id(), proxy.address),
            Self::Tidegate { proxy, .. } => (proxy.id(), proxy.address()),
        };
        let (before, begun) = (cpu::time(process), Instant::now());
        let (count, p99) = if case.websocket { echo::load(address, time) } else { http_load::load(address, time) };
        Measured { count, elapsed: begun.elapsed(), cpu: cpu::time(process).saturating_sub(before), p99 }
    }
}

fn backend(case: &Case) -> (SocketAddr, Option<Nginx>) {
    if case.websocket {
        return (echo::backend(), None);
    }
    let nginx = Nginx::backend();
    (nginx.address, Some(nginx))
}

fn bare(_: Option<&Collector>) -> String {
    "routes: [{ upstream: app }]\n\
     upstreams: { app: { endpoints: [\"BACKEND\"] } }\n\
     telemetry: { traces: { ratio: 0 }, access_log: { output: off } }\n"
        .to_owned()
}

fn three_hooks(_: Option<&Collector>) -> String {
    with_plugins("bench", "  bench: { file: three.wasm }\n")
}

fn no_hooks(_: Option<&Collector>) -> String {
    let names: Vec<String> = (0..20).map(|number| format!("idle{number}")).collect();
    let plugins: String = names.iter().map(|name| format!("  {name}: {{ file: none.wasm }}\n")).collect();
    with_plugins(&names.join(", "), &plugins)
}

/// As [`bare`], and these plugins on its route.
fn with_plugins(chain: &str, plugins: &str) -> String {
    let bare = bare(None).replace("upstream: app }", &format!("upstream: app, plugins: [{chain}] }}"));
    format!("{bare}plugins:\n{plugins}")
}

fn log_and_limit(_: Option<&Collector>) -> String {
    "routes: [{ upstream: app, limits: [clients] }]\n\
     upstreams: { app: { endpoints: [\"BACKEND\"] } }\n\
     limits: { clients: { key: client.address, rate: 1000000/s, burst: 1000000 } }\n\
     telemetry: { traces: { ratio: 0 }, access_log: { output: access.log } }\n"
        .to_owned()
}

fn everything(collector: Option<&Collector>) -> String {
    let endpoint = collector.map(Collector::endpoint).unwrap_or_default();
    format!(
        "routes: [{{ match: {{ path: \"/users/{{id}}\" }}, upstream: app, limits: [clients], plugins: [ids, hooks] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"BACKEND\"], breaker: {{ consecutive_failures: 5 }} }} }}\n\
         limits: {{ clients: {{ key: client.address, rate: 1000000/s, burst: 1000000 }} }}\n\
         plugins:\n\
         \x20 ids: {{ builtin: correlation-id }}\n\
         \x20 hooks: {{ file: three.wasm }}\n\
         telemetry:\n\
         \x20 otlp: {{ endpoint: \"{endpoint}\" }}\n\
         \x20 traces: {{ ratio: 0.1 }}\n\
         \x20 access_log: {{ output: access.log }}\n"
    )
}
