//! What is compared: the cases, and the two sides of each with the same work to do.
//! It prints nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tidegate_tests::{Collector, Proxy, collector, proxy};

use crate::nginx::{Extras, Nginx};
use crate::{Measured, cpu, echo, http_load};

/// One comparison.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    /// What nginx does meanwhile.
    pub against: &'static str,
    /// What Tidegate's cost may be, as a multiple of nginx's.
    pub bar: f64,
    nginx: Extras,
    websocket: bool,
    tidegate: fn(Option<&Collector>) -> String,
}

/// All of them.
pub const CASES: &[Case] = &[
    Case { name: "bare", against: "nginx bare", bar: 1.15, nginx: Extras::None, websocket: false, tidegate: bare },
    Case {
        name: "log+limit",
        against: "nginx with log and limit",
        bar: 1.5,
        nginx: Extras::LogAndLimit,
        websocket: false,
        tidegate: log_and_limit,
    },
    Case {
        name: "everything",
        against: "nginx with log and limit",
        bar: 1.5,
        nginx: Extras::LogAndLimit,
        websocket: false,
        tidegate: everything,
    },
    Case {
        name: "websocket",
        against: "nginx, which counts nothing",
        bar: 1.1,
        nginx: Extras::None,
        websocket: true,
        tidegate: bare,
    },
];

/// One proxy with its backend, ready for load.
pub enum Side {
    Nginx { proxy: Nginx, _backend: Option<Nginx> },
    Tidegate { proxy: Proxy, _backend: Option<Nginx>, _collector: Option<Collector> },
}

impl Side {
    pub fn start_nginx(case: &Case) -> Self {
        let (address, backend) = backend(case);
        Self::Nginx { proxy: Nginx::proxy(address, case.nginx), _backend: backend }
    }

    pub fn start_tidegate(case: &Case) -> Self {
        let (address, backend) = backend(case);
        let collector = (case.name == "everything").then(collector);
        let config = (case.tidegate)(collector.as_ref()).replace("BACKEND", &address.to_string());
        let proxy = proxy().config("workers: 1").config(config).start();
        cpu::pin(proxy.id(), cpu::PROXY_CORE);
        Self::Tidegate { proxy, _backend: backend, _collector: collector }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Nginx { .. } => "nginx",
            Self::Tidegate { .. } => "tidegate",
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
        "routes: [{{ match: {{ path: \"/users/{{id}}\" }}, upstream: app, limits: [clients], plugins: [ids, classify] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"BACKEND\"], breaker: {{ consecutive_failures: 5 }} }} }}\n\
         limits: {{ clients: {{ key: client.address, rate: 1000000/s, burst: 1000000 }} }}\n\
         plugins:\n\
         \x20 ids: {{ builtin: correlation-id }}\n\
         \x20 classify:\n\
         \x20   builtin: request-classifier\n\
         \x20   config: {{ label: kind, rules: [{{ path_prefix: /users, value: api }}], otherwise: other }}\n\
         telemetry:\n\
         \x20 otlp: {{ endpoint: \"{endpoint}\" }}\n\
         \x20 traces: {{ ratio: 0.1 }}\n\
         \x20 access_log: {{ output: access.log }}\n"
    )
}
