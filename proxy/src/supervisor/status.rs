//! What the admin port may know and ask for.
//! It does nothing itself: a reload is asked of the supervisor.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::admin::{self, Check, Control, Reloading};
use crate::config::Diagnostics;
use crate::snapshot::{Plugin, Snapshot};
use crate::telemetry::Health;
use crate::telemetry::metrics::ScrapeError;
use crate::upstream::breaker::State;

/// Somebody wants a reload, and to know what became of it.
pub(super) struct Trigger {
    pub(super) done: oneshot::Sender<Result<u64, Diagnostics>>,
}

/// Name and address.
pub(super) type Listeners = Vec<(Arc<str>, SocketAddr)>;

pub(super) type Triggers = mpsc::Receiver<Trigger>;

/// How the proxy is.
pub(super) struct Status {
    started: Instant,
    ready: Cell<bool>,
    workers: usize,
    path: Option<PathBuf>,
    /// Where each listener of the current version listens.
    listeners: RefCell<Listeners>,
    current: RefCell<Arc<Snapshot>>,
    /// How the outputs of the current version fare.
    telemetry: RefCell<Health>,
    /// What was wrong with the last configuration that was refused, until one is accepted.
    refused: RefCell<Option<Diagnostics>>,
    triggers: mpsc::Sender<Trigger>,
}

// === impl Status ===

impl Status {
    pub(super) fn new(
        current: Arc<Snapshot>,
        workers: usize,
        path: Option<PathBuf>,
        listeners: Listeners,
        telemetry: Health,
    ) -> (Rc<Self>, Triggers) {
        // One reload at a time; who asks during one waits for the next.
        let (triggers, receiver) = mpsc::channel(16);
        let status = Self {
            started: Instant::now(),
            ready: Cell::new(false),
            workers,
            path,
            listeners: RefCell::new(listeners),
            current: RefCell::new(current),
            telemetry: RefCell::new(telemetry),
            refused: RefCell::default(),
            triggers,
        };
        (Rc::new(status), receiver)
    }

    pub(super) fn set_ready(&self, ready: bool) {
        self.ready.set(ready);
    }

    /// There was a reload: this is current now, with these listeners.
    pub(super) fn reloaded(
        &self,
        current: Arc<Snapshot>,
        listeners: Listeners,
        telemetry: Health,
        refused: Option<&Diagnostics>,
    ) {
        self.telemetry.replace(telemetry);
        self.current.replace(current);
        self.listeners.replace(listeners);
        self.refused.replace(refused.cloned());
    }
}

impl Control for Status {
    fn scrape(&self, accept: Option<&str>) -> Result<(&'static str, Vec<u8>), ScrapeError> {
        self.current.borrow().foundation.scraper.scrape(accept)
    }

    fn scrape_paths(&self) -> Vec<Arc<str>> {
        let current = self.current.borrow();
        let scrapes = current.config.telemetry.metrics.scrape.iter();
        scrapes.filter(|scrape| scrape.listener.is_none()).map(|scrape| Arc::clone(&scrape.path)).collect()
    }

    fn is_ready(&self) -> bool {
        self.ready.get()
    }

    fn uptime(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    fn checks(&self) -> Vec<(&'static str, Check)> {
        let current = self.current.borrow();
        let config = match &*self.refused.borrow() {
            None => Check::healthy(),
            Some(errors) => {
                let errors = match errors.errors() {
                    1 => "1 error".to_owned(),
                    errors => format!("{errors} errors"),
                };
                Check::warning(format!("the last configuration was refused: {errors}, see `last_refused` of `/status`"))
            }
        };
        let failed: Vec<&str> = current.failed_plugins().map(|(name, _)| &**name).collect();
        let resting: Vec<&str> = current
            .plugins
            .iter()
            .filter_map(|plugin| match plugin {
                Plugin::Loaded(loaded) if loaded.resting() > 0 => Some(&**loaded.name()),
                Plugin::Loaded(_) | Plugin::Failed(_) => None,
            })
            .collect();
        let troubles: Vec<String> = [("not loaded", failed), ("in quarantine", resting)]
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what}: {}", names.join(", ")))
            .collect();
        let plugins = if troubles.is_empty() { Check::healthy() } else { Check::warning(troubles.join("; ")) };
        let open: Vec<&str> = current
            .clusters
            .iter()
            .filter(|cluster| cluster.breaker().is_some_and(|breaker| breaker.state() == State::Open))
            .map(|cluster| &**cluster.name())
            .collect();
        let upstreams = match open.as_slice() {
            [] => Check::healthy(),
            open => Check::warning(format!("breaker open: {}", open.join(", "))),
        };
        let workers = if self.ready.get() { Check::healthy() } else { Check::unhealthy("draining") };
        let mut checks = vec![("workers", workers), ("config", config), ("plugins", plugins), ("upstreams", upstreams)];
        let telemetry = self.telemetry.borrow();
        let outputs = [("access_log", telemetry.access_log()), ("collector", telemetry.collector())];
        checks.extend(
            outputs
                .into_iter()
                .filter_map(|(name, works)| Some((name, works?.map_or_else(Check::warning, |()| Check::healthy())))),
        );
        checks
    }

    fn describe(&self) -> Value {
        let current = self.current.borrow();
        let plugins = current.config.plugins.iter().zip(&current.plugins).map(|(config, plugin)| {
            let state = match plugin {
                Plugin::Loaded(loaded) => {
                    let report = loaded.report();
                    let mut state = json!({
                        "state": if loaded.resting() > 0 { "quarantined" } else { "loaded" },
                        "generation": report.generation,
                        "generations": loaded.generations(),
                        "bytes": report.size,
                        "memory_bytes": report.memory,
                        "compiled_in_ms": report.compiled_in.as_secs_f64() * 1e3,
                        "cached": report.cached,
                        "unknown_imports": report.unknown_imports,
                        "unknown_exports": report.unknown_exports,
                    });
                    // As of one that was not loaded: what is wrong, and nothing where nothing is.
                    if let (Some(fault), Some(state)) = (loaded.rests_for(), state.as_object_mut()) {
                        state.insert("error".to_owned(), fault.into());
                    }
                    state
                }
                Plugin::Failed(error) => json!({ "state": "failed", "error": error.to_string() }),
            };
            (config.name.to_string(), state)
        });
        let upstreams = current.clusters.iter().map(|cluster| {
            let endpoints: Vec<&str> = cluster.endpoints().iter().map(|endpoint| &*endpoint.text).collect();
            let breaker = cluster.breaker().map(|breaker| breaker.state().as_str());
            (cluster.name().to_string(), json!({ "endpoints": endpoints, "breaker": breaker }))
        });
        let limits = current.config.limits.iter().zip(&current.limiters);
        let limits = limits.map(|(limit, limiter)| {
            (limit.name.to_string(), json!({ "keys": limiter.keys(), "evictions": limiter.evictions() }))
        });
        let listeners = self.listeners.borrow();
        let listeners = listeners.iter().map(|(name, address)| (name.to_string(), json!(address.to_string())));
        let config = json!({
            "file": self.path.as_ref().map(|path| path.display().to_string()),
            "version": current.version,
            "last_refused": *self.refused.borrow(),
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime": self.started.elapsed().as_secs(),
            "timestamp": admin::now(),
            "workers": self.workers,
            "config": config,
            "listeners": listeners.collect::<serde_json::Map<_, _>>(),
            "upstreams": upstreams.collect::<serde_json::Map<_, _>>(),
            "limits": limits.collect::<serde_json::Map<_, _>>(),
            "plugins": plugins.collect::<serde_json::Map<_, _>>(),
        })
    }

    fn reload(&self) -> Reloading {
        let triggers = self.triggers.clone();
        Box::pin(async move {
            let (done, reloaded) = oneshot::channel();
            if triggers.send(Trigger { done }).await.is_err() {
                return Err(json!({ "error": "the proxy is shutting down" }));
            }
            match reloaded.await {
                Ok(Ok(version)) => Ok(version),
                Ok(Err(diagnostics)) => Err(json!({ "errors": diagnostics })),
                Err(_) => Err(json!({ "error": "the proxy is shutting down" })),
            }
        })
    }
}
