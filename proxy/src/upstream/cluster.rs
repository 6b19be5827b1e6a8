//! What all workers share of an upstream: its endpoints, its TLS configuration, its breaker; immutable but for the breaker.
//! It opens no connection.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::MonotonicClock;
use rustls::pki_types::ServerName;

use super::Error;
use super::breaker::{Breaker, Event, Observer, State, transitions};
use super::config::{self, Protocol};
use super::tls;
use crate::telemetry::metrics::Registry;
use crate::telemetry::metrics::catalogue::Catalogue;

/// An upstream, ready to be used by every worker.
#[derive(Debug)]
pub struct Cluster {
    config: config::Upstream,
    endpoints: Vec<Endpoint>,
    tls: Option<tls::Client>,
    /// Its own `Arc`, so that its state outlives a reload that changes something else.
    breaker: Option<Arc<Breaker>>,
}

/// One address of an upstream.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `host:port`, for labels and log lines.
    pub text: Arc<str>,
    pub host: Arc<str>,
    pub port: u16,
    /// Where the host is an address and nothing needs to be resolved.
    pub address: Option<IpAddr>,
    pub weight: NonZeroU32,
    /// Whom to ask for and to verify, where we speak TLS.
    pub server_name: Option<ServerName<'static>>,
}

/// What makes a connection good for a request: only requests for the same key share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Connections are counted for each upstream, so they are not shared between upstreams either.
    upstream: Arc<str>,
    /// `host:port`.
    text: Arc<str>,
    http2: bool,
    /// The name asked for, and a hash of whom we trust.
    tls: Option<(String, u64)>,
}

// === impl Cluster ===

impl Cluster {
    /// Reads the authorities and gets everything ready; on the control thread, since it reads files.
    ///
    /// Takes the breaker's state from `previous` where its configuration is the same. The breaker's metrics are counted where
    /// any thread may count, since any may change its state.
    ///
    /// # Errors
    /// Where the authorities cannot be read, or a name cannot be verified.
    pub fn new(
        config: &config::Upstream,
        previous: Option<&Self>,
        registry: &Registry,
        catalogue: &Catalogue,
    ) -> Result<Self, Error> {
        let tls = config.tls.as_ref().map(|tls| tls::Client::new(tls, config.protocol)).transpose()?;
        let endpoints = config
            .endpoints
            .iter()
            .map(|endpoint| Endpoint::new(endpoint, config.tls.as_ref()))
            .collect::<Result<_, _>>()?;
        let kept = previous
            .filter(|previous| previous.config.name == config.name && previous.config.breaker == config.breaker)
            .and_then(|previous| previous.breaker.clone());
        let breaker = kept.or_else(|| {
            config.breaker.map(|breaker| {
                Arc::new(Breaker::new(breaker, MonotonicClock, observer(&config.name, registry, catalogue)))
            })
        });
        Ok(Self { config: config.clone(), endpoints, tls, breaker })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    pub fn config(&self) -> &config::Upstream {
        &self.config
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// `None` where none is configured.
    pub fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_deref()
    }

    /// Whether its endpoints are spoken to over TLS.
    pub fn is_https(&self) -> bool {
        self.tls().is_some()
    }

    pub(super) fn tls(&self) -> Option<&tls::Client> {
        self.tls.as_ref()
    }

    pub(super) fn key(&self, endpoint: &Endpoint) -> Key {
        Key {
            upstream: self.config.name.clone(),
            text: endpoint.text.clone(),
            http2: self.config.protocol == Protocol::Http2,
            tls: self.tls.as_ref().map(|tls| {
                (endpoint.server_name.as_ref().map(|name| name.to_str().into_owned()).unwrap_or_default(), tls.identity)
            }),
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn new(config: &config::Endpoint, tls: Option<&config::Tls>) -> Result<Self, Error> {
        let host = config.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&config.host);
        let address = host.parse::<IpAddr>().ok();
        let text = match address {
            Some(address) => SocketAddr::new(address, config.port).to_string(),
            None => format!("{host}:{}", config.port),
        };
        let server_name = tls
            .map(|tls| {
                let name = tls.server_name.as_deref().unwrap_or(host);
                ServerName::try_from(name.to_owned()).map_err(|_| Error::ServerName(name.to_owned()))
            })
            .transpose()?;
        Ok(Self {
            text: text.into(),
            host: host.into(),
            port: config.port,
            address,
            weight: config.weight,
            server_name,
        })
    }
}

/// Shows a breaker in the metrics; every series is there from the start.
fn observer(upstream: &Arc<str>, registry: &Registry, catalogue: &Catalogue) -> Observer {
    let (shard, admission) = (registry.shared(), &catalogue.admission);
    let gauge = shard.gauge(&admission.breaker_state, &[upstream]);
    let refused = shard.counter(&admission.breaker_refused, &[upstream]);
    let to = |state: State| shard.counter(&admission.breaker_transitions, &[upstream, state.as_str()]);
    let (closed, half_open, open) = (to(State::Closed), to(State::HalfOpen), to(State::Open));
    gauge.set(State::Closed.as_f64());
    let name = Arc::clone(upstream);
    Box::new(move |event| match event {
        Event::Refused => refused.add(1),
        Event::Entered(state) => {
            gauge.set(state.as_f64());
            transitions::note(&name, state);
            match state {
                State::Closed => {
                    closed.add(1);
                    tracing::info!(upstream = %name, "breaker closed");
                }
                State::HalfOpen => half_open.add(1),
                State::Open => {
                    open.add(1);
                    tracing::warn!(upstream = %name, "breaker opened: requests are refused");
                }
            }
        }
    })
}
