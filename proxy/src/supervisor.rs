//! The control thread: starts workers, hands them versions of the configuration, answers signals, and ends it all in order.
//! It never sees a request.

mod descriptors;
mod limits;
mod sockets;
mod signals;
mod status;
mod version;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::admin;
use crate::config::watch::Watcher;
use crate::config::{Diagnostics, Loaded};
use crate::listen;
use crate::snapshot::{Foundation, FoundationError, Snapshot};
use crate::telemetry::{self, Telemetry};
use crate::worker;
use signals::Signals;
use sockets::Sockets;
use status::{Status, Trigger};

/// What a proxy is started with.
pub struct Start {
    pub loaded: Loaded,
    /// The file to read again on a reload; `None` for a configuration that is not in a file and never changes.
    pub path: Option<PathBuf>,
    /// Whether signals are answered: SIGHUP, SIGUSR1, SIGTERM, SIGINT, SIGQUIT.
    pub signals: bool,
    /// Is told once when every worker accepts.
    pub ready: Box<dyn FnOnce(&Ready)>,
    /// Ends the proxy as SIGTERM does.
    pub stop: Pin<Box<dyn Future<Output = ()>>>,
}

/// A proxy that accepts connections.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Name and address of each listener.
    pub listeners: Vec<(Arc<str>, SocketAddr)>,
    pub admin: Option<SocketAddr>,
    pub workers: usize,
}

/// Why a proxy did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Configuration(Diagnostics),
    #[error(transparent)]
    Listen(#[from] listen::Error),
    #[error(transparent)]
    Admin(#[from] admin::Error),
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    #[error(transparent)]
    Foundation(#[from] FoundationError),
    #[error("cannot start the control thread: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
    #[error(transparent)]
    Gone(#[from] worker::Gone),
}

struct Supervisor {
    path: Option<PathBuf>,
    foundation: Foundation,
    telemetry: Telemetry,
    sockets: Sockets,
    workers: Vec<worker::Handle>,
    current: Arc<Snapshot>,
    watcher: Option<Watcher>,
    status: Rc<Status>,
}

/// Runs a proxy on this thread until it is told to stop and has drained.
///
/// # Errors
/// When it cannot start; once it runs, nothing but the loss of a worker ends it.
pub fn run(start: Start) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .map_err(Error::Runtime)?;
    runtime.block_on(control(start))
}

/// Does all that a start does, except to bind and to send: reads and compiles what a configuration names. A plugin that
/// cannot be loaded is an error here even where a start would go on without it: whoever checks wants to know.
///
/// # Errors
/// Everything that is wrong, each at its key.
pub fn check(loaded: &Loaded) -> Result<(), Diagnostics> {
    // Whoever only checks leaves no file behind.
    let foundation = Foundation::new(None).map_err(version::not_usable)?;
    // As if every plugin were `required`, so that one which is does not hide what is wrong with the others.
    let mut strict = loaded.clone();
    for plugin in &mut strict.config.plugins {
        plugin.required = true;
    }
    let mut faults = version::compile(&strict, None, &foundation).map_or_else(Diagnostics::into_vec, |_| Vec::new());
    if let Err(error) = telemetry::check(&loaded.config.telemetry) {
        faults.push(loaded.error_at(error.keys(), error.to_string()));
    }
    if faults.is_empty() { Ok(()) } else { Err(Diagnostics::new(faults)) }
}

async fn control(start: Start) -> Result<(), Error> {
    let Start { loaded, path, signals, ready, stop } = start;
    let signals = if signals { Some(Signals::listen().map_err(Error::Runtime)?) } else { None };
    let (supervisor, triggers, addresses) = Supervisor::start(loaded, path).await?;
    ready(&addresses);
    serve(supervisor, triggers, signals, stop).await
}

/// Does what is asked for, until the end is.
async fn serve(
    mut supervisor: Supervisor,
    mut triggers: status::Triggers,
    mut signals: Option<Signals>,
    mut stop: Pin<Box<dyn Future<Output = ()>>>,
) -> Result<(), Error> {
    let mut failed = Ok(());
    loop {
        tokio::select! {
            () = &mut stop => break,
            request = signals::next(&mut signals) => match request {
                signals::Request::Stop => break,
                signals::Request::Reopen => {
                    supervisor.telemetry.reopen();
                    tracing::info!("log files are opened anew");
                }
                signals::Request::Reload => {
                    supervisor.telemetry.reopen();
                    // The outcome is in the log and the metrics. A stop does not wait for it: a plugin may take long to compile.
                    tokio::select! {
                        _ = supervisor.reload("SIGHUP") => {}
                        () = signals::stop(&mut signals) => break,
                    }
                }
            },
            trigger = triggers.recv() => if let Some(Trigger { done }) = trigger {
                tokio::select! {
                    reloaded = supervisor.reload("admin") => drop(done.send(reloaded)),
                    () = signals::stop(&mut signals) => break,
                }
            },
            () = changed(&mut supervisor.watcher) => tokio::select! {
                _ = supervisor.reload("file") => {}
                () = signals::stop(&mut signals) => break,
            },
            () = limits::round() => limits::publish(&supervisor.current),
            () = lost(&supervisor.workers) => {
                tracing::error!("{}", worker::Gone);
                failed = Err(worker::Gone.into());
                break;
            }
        }
    }
    // Who asks for a reload from here on is told so, instead of waiting for the end.
    drop(triggers);
    supervisor.end(signals).await;
    failed
}

/// Waits until a worker has ended that nobody told to: with its sockets gone the others would go on as if all were well.
async fn lost(workers: &[worker::Handle]) {
    let mut gone: futures_util::stream::FuturesUnordered<_> = workers.iter().map(worker::Handle::gone).collect();
    if futures_util::StreamExt::next(&mut gone).await.is_none() {
        std::future::pending().await
    }
}

async fn changed(watcher: &mut Option<Watcher>) {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => std::future::pending().await,
    }
}

// === impl Supervisor ===

impl Supervisor {
    /// Everything is read, compiled and bound before the first worker starts.
    async fn start(loaded: Loaded, path: Option<PathBuf>) -> Result<(Self, status::Triggers, Ready), Error> {
        let foundation = Foundation::new(loaded.config.plugin_cache.as_deref())?;
        // Before anything is compiled: what changes meanwhile is noticed.
        let watcher = path.is_some().then(|| Watcher::of(&loaded));
        let snapshot = version::build(loaded, None, &foundation).await.map_err(Error::Configuration)?;
        let telemetry = Telemetry::start(&snapshot.config.telemetry, foundation.registry.clone())?;
        let count = snapshot.config.workers.or_else(|| available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let mut sockets = Sockets::new(descriptors::raise());
        let opened = sockets.open(&snapshot.config, count)?;
        sockets.warn_of_shortage(&snapshot.config);
        let admin = snapshot.config.admin.address.map(admin::Port::bind).transpose()?;
        let mut workers = Vec::with_capacity(count);
        for number in 0..count {
            workers.push(worker::Handle::spawn(number, telemetry.worker()).map_err(Error::Worker)?);
        }
        let ready = Ready {
            listeners: sockets.addresses(&snapshot.config),
            admin: admin.as_ref().map(admin::Port::address),
            workers: count,
        };
        let (status, triggers) =
            Status::new(Arc::clone(&snapshot), count, path.clone(), ready.listeners.clone(), telemetry.health());
        let mut supervisor = Self {
            path,
            foundation,
            telemetry,
            sockets,
            workers,
            current: snapshot,
            watcher,
            status: Rc::clone(&status),
        };
        supervisor.adopt(&supervisor.current, opened).await?;
        supervisor.sockets.commit(&supervisor.current.config);
        version::publish(&supervisor.foundation, &supervisor.current, &supervisor.sockets, true);
        version::say(&supervisor.current);
        if let Some(admin) = admin {
            tracing::info!(listener = "admin", address = %admin.address(), "listening");
            drop(tokio::task::spawn_local(admin.serve(Rc::clone(&status) as Rc<dyn admin::Control>)));
        }
        for (name, address) in &ready.listeners {
            tracing::info!(listener = %name, %address, "listening");
        }
        status.set_ready(true);
        tracing::info!(workers = count, version = env!("CARGO_PKG_VERSION"), "ready");
        Ok((supervisor, triggers, ready))
    }

    /// Has every worker take over a version; returns when all have, with the longest time at a stretch that it held one of them.
    async fn adopt(
        &self,
        snapshot: &Arc<Snapshot>,
        opened: Vec<Vec<worker::Opened>>,
    ) -> Result<Duration, worker::Gone> {
        let mut opened = opened.into_iter();
        let mut longest = Duration::ZERO;
        for worker in &self.workers {
            let opened = opened.next().unwrap_or_default();
            longest = longest.max(worker.adopt(Arc::clone(snapshot), opened).await?);
        }
        Ok(longest)
    }

    /// Reads the configuration again. On any error the version in force stays as it is.
    async fn reload(&mut self, cause: &'static str) -> Result<u64, Diagnostics> {
        let Some(path) = self.path.clone() else { return Ok(self.current.version) };
        let result = self.try_reload(path).await;
        version::publish(&self.foundation, &self.current, &self.sockets, result.is_ok());
        match &result {
            Ok(held) => {
                let held = u64::try_from(held.as_micros()).unwrap_or(u64::MAX);
                tracing::info!(cause, version = self.current.version, held_worker_us = held, "configuration reloaded");
                version::say(&self.current);
            }
            Err(diagnostics) => {
                for diagnostic in diagnostics.iter() {
                    tracing::error!(cause, "configuration refused: {diagnostic}");
                }
            }
        }
        let listeners = self.sockets.addresses(&self.current.config);
        let health = self.telemetry.health();
        self.status.reloaded(Arc::clone(&self.current), listeners, health, result.as_ref().err());
        result.map(|_| self.current.version)
    }

    /// Returns the longest time at a stretch that a worker was held.
    async fn try_reload(&mut self, path: PathBuf) -> Result<Duration, Diagnostics> {
        let loaded = version::load(path).await?;
        self.watcher = Some(Watcher::of(&loaded));
        let snapshot = version::build(loaded, Some(Arc::clone(&self.current)), &self.foundation).await?;
        let opened = self.sockets.open(&snapshot.config, self.workers.len()).map_err(version::not_usable)?;
        if let Err(error) = self.telemetry.reconfigure(&snapshot.config.telemetry) {
            self.sockets.abandon();
            return Err(version::not_usable(error));
        }
        version::warn_of_restart(&self.current.config, &snapshot.config, self.workers.len());
        let before = self.sockets.addresses(&self.current.config);
        let held = self.adopt(&snapshot, opened).await.map_err(version::not_usable)?;
        self.sockets.commit(&snapshot.config);
        for (name, address) in self.sockets.addresses(&snapshot.config) {
            if !before.iter().any(|(_, old)| *old == address) {
                tracing::info!(listener = %name, %address, "listening");
            }
        }
        self.current = snapshot;
        Ok(held)
    }

    /// Stops accepting, lets exchanges finish, and sends what telemetry still has.
    async fn end(self, mut signals: Option<Signals>) {
        let (delay, timeout) = (self.current.config.drain_delay, self.current.config.drain_timeout);
        self.status.set_ready(false);
        if let Some(delay) = delay {
            tracing::info!(?delay, "not ready any more, still accepting");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = signals::stop(&mut signals) => {}
            }
        }
        tracing::info!(?timeout, "draining");
        let until = Instant::now() + timeout;
        let (hurry, hurried) = watch::channel(false);
        let impatience = tokio::task::spawn_local(async move {
            signals::stop(&mut signals).await;
            tracing::warn!("told to stop again: not waiting for what is under way");
            let _ = hurry.send(true);
        });
        let mut drains = tokio::task::JoinSet::new();
        for worker in self.workers {
            let hurried = hurried.clone();
            drains.spawn_local(async move {
                let cut = worker.drain(until, hurried).await;
                // The thread ends by itself now; joining it must not hold up the others' drains.
                let _ = tokio::task::spawn_blocking(move || worker.join()).await;
                cut
            });
        }
        let mut cut = 0;
        while let Some(drained) = drains.join_next().await {
            cut += drained.unwrap_or_default();
        }
        if cut > 0 {
            tracing::warn!(connections = cut, "cut what was still under way");
        }
        impatience.abort();
        let telemetry = self.telemetry;
        let _ = tokio::task::spawn_blocking(move || telemetry.shutdown()).await;
        tracing::info!("stopped");
    }
}

#[cfg(test)]
mod tests;
