//! The demo's embedded configuration, and the ports it takes.
//! It starts nothing.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::Path;

use super::Error;
use crate::config::{self, Loaded};

/// Where people expect the proxy and its admin port.
pub(super) const PREFERRED: Ports = Ports { proxy: 8080, admin: 9901 };

#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) proxy: u16,
    pub(super) admin: u16,
}

/// Of a thousand requests of the sample traffic, how many go to the limited route, and how many of them it lets through.
pub(super) const SEARCHES: u64 = 50;
const LET_THROUGH: u32 = 30;

/// A configuration for the addresses of this run.
#[derive(Debug)]
pub(super) struct Setup {
    text: String,
    /// The preferred ports that something else has.
    pub(super) taken: Vec<u16>,
}

impl Setup {
    pub(super) fn new(origin: SocketAddr, collector: SocketAddr, log: &Path, rate: NonZeroU32, ports: Ports) -> Self {
        let mut taken = Vec::new();
        let mut port = |preferred| match TcpListener::bind((Ipv4Addr::LOCALHOST, preferred)) {
            Ok(_) => preferred,
            Err(_) => {
                taken.push(preferred);
                0
            }
        };
        let (proxy, admin) = (port(ports.proxy), port(ports.admin));
        let searches = (rate.get() * 60 * LET_THROUGH / 1000).max(1);
        // YAML reads a JSON string as it is; a dollar sign would begin a variable.
        let log = serde_json::Value::from(log.to_string_lossy().replace('$', "$$"));
        let text = format!(
            r#"workers: 1
drain_timeout: 3s
admin: {{ address: "127.0.0.1:{admin}" }}
listeners: [{{ name: web, address: "127.0.0.1:{proxy}" }}]
defaults: {{ plugins: [ids, classify] }}
routes:
  - {{ name: users, match: {{ path: "/users/{{id}}" }}, upstream: app }}
  - {{ name: orders, match: {{ path: "/orders/{{id}}/items/{{item}}" }}, upstream: app }}
  - {{ name: static, match: {{ path_prefix: /static }}, upstream: app }}
  - {{ name: search, match: {{ path: /search }}, upstream: app, limits: [searches] }}
  - {{ name: reports, match: {{ path: "/reports/{{day}}" }}, upstream: flaky }}
  - {{ name: live, match: {{ path_prefix: /ws }}, upstream: app }}
  - {{ name: rest, upstream: app }}
upstreams:
  app: {{ endpoints: ["{origin}"] }}
  flaky:
    endpoints: ["{origin}"]
    breaker: {{ consecutive_failures: 3, open_for: 2s, probes: 1 }}
limits:
  searches: {{ key: route, rate: {searches}/m, burst: 1 }}
plugins:
  ids: {{ builtin: correlation-id }}
  classify:
    builtin: request-classifier
    config:
      label: kind
      rules:
        - {{ path_prefix: /users, value: api }}
        - {{ path_prefix: /orders, value: api }}
        - {{ path_prefix: /search, value: api }}
        - {{ path_prefix: /static, value: page }}
      otherwise: other
    # A machine that is busy compiling may let any thread wait for this long.
    budget: {{ deadline: 1s }}
telemetry:
  service: {{ name: tidegate-demo }}
  otlp: {{ endpoint: "http://{collector}", protocol: http }}
  traces: {{ ratio: 1, interval: 200ms }}
  metrics: {{ otlp: true, interval: 1s, scrape: [{{ listener: admin, path: /metrics }}] }}
  access_log: {{ format: json, output: {log} }}
"#
        );
        Self { text, taken }
    }

    /// # Errors
    /// None, unless this file is wrong.
    pub(super) fn loaded(&self) -> Result<Loaded, Error> {
        config::parse(&self.text, "demo", &|_| None).map_err(Error::Configuration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::frame;

    fn setup(log: &str, ports: Ports) -> Setup {
        let any = SocketAddr::from(([127, 0, 0, 1], 4318));
        Setup::new(any, any, Path::new(log), NonZeroU32::new(40).unwrap(), ports)
    }

    #[test]
    fn the_embedded_configuration_is_right() {
        let loaded =
            setup("/tmp/a $HOME: \"b\"/access.log", PREFERRED).loaded().map_err(|error| error.to_string()).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        assert_eq!(loaded.config.plugins.len(), frame::PLUGINS);
        let log = format!("{:?}", loaded.config.telemetry.access_log);
        assert!(log.contains("a $HOME"), "{log}");
    }

    #[test]
    fn a_port_that_is_taken_is_replaced() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = held.local_addr().unwrap().port();
        let setup = setup("/tmp/log", Ports { proxy, admin: 0 });
        assert_eq!(setup.taken, [proxy]);
        assert!(setup.text.contains(r#"listeners: [{ name: web, address: "127.0.0.1:0" }]"#), "{}", setup.text);
    }
}
