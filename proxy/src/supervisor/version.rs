//! From a configuration file to a snapshot, away from the control thread, since reading and compiling take their time.
//! It puts nothing into force.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_abi::Hook;
use tokio::task::spawn_blocking;

use super::sockets::Sockets;
use crate::config::{self, Config, Diagnostic, Diagnostics, Loaded};
use crate::snapshot::{BuildError, Foundation, Plugin, Snapshot};

/// Reads and checks the file.
pub(super) async fn load(path: PathBuf) -> Result<Loaded, Diagnostics> {
    spawn_blocking(move || config::load(&path)).await.unwrap_or_else(|_| Err(not_usable("reading it was interrupted")))
}

/// Compiles what was read. Its warnings go to the log.
pub(super) async fn build(
    loaded: Loaded,
    previous: Option<Arc<Snapshot>>,
    foundation: &Foundation,
) -> Result<Arc<Snapshot>, Diagnostics> {
    for warning in &loaded.warnings {
        tracing::warn!("configuration: {warning}");
    }
    let foundation = foundation.clone();
    let building = move || compile(&loaded, previous.as_deref(), &foundation);
    spawn_blocking(building).await.unwrap_or_else(|_| Err(not_usable("compiling it was interrupted"))).map(Arc::new)
}

/// Compiles; each error stands at the key that it is about.
pub(super) fn compile(
    loaded: &Loaded,
    previous: Option<&Snapshot>,
    foundation: &Foundation,
) -> Result<Snapshot, Diagnostics> {
    let config = loaded.config.clone();
    Snapshot::build(config, previous, foundation).map_err(|errors| {
        let diagnostics = errors.iter().map(|error| match error {
            BuildError::Upstream { name, source } => loaded.error_at(&["upstreams", name, "tls"], source.to_string()),
            BuildError::Tls { index, source } => {
                loaded.error_at(&["listeners", &index.to_string(), "tls"], source.to_string())
            }
            BuildError::Plugin { name, source, runs } => {
                let keys = [&["plugins", &**name], source.keys()].concat();
                let message = match runs {
                    None => source.to_string(),
                    Some(generation) => format!("{source}; its generation {generation} runs on"),
                };
                loaded.error_at(&keys, message)
            }
        });
        Diagnostics::new(diagnostics.collect())
    })
}

/// An error that is about no key.
pub(super) fn not_usable(error: impl Display) -> Diagnostics {
    Diagnostic::without_place(error.to_string()).into()
}

/// Counts an attempt to put a version into force. `sockets` are those of the version that is.
pub(super) fn publish(foundation: &Foundation, current: &Snapshot, sockets: &Sockets, succeeded: bool) {
    let shared = foundation.registry.shared();
    let runtime = &foundation.catalogue.runtime;
    let result = if succeeded { "success" } else { "failure" };
    shared.counter(&runtime.config_reloads, &[result]).inc();
    shared.gauge(&runtime.config_last_reload_successful, &[]).set(f64::from(u8::from(succeeded)));
    if succeeded {
        current.enter();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        shared.gauge(&runtime.config_last_reload_timestamp, &[]).set(now.as_secs_f64());
        shared.gauge(&runtime.config_version, &[]).set(current.version as f64);
        for (listener, limit) in sockets.limits(&current.config) {
            shared.gauge(&foundation.catalogue.admission.connections_limit, &[listener]).set(limit.into());
        }
    }
}

/// Says what the plugins of a version came to.
pub(super) fn say(snapshot: &Snapshot) {
    for (name, error) in snapshot.failed_plugins() {
        tracing::error!(plugin = %name, "plugin is not loaded: {error}");
    }
    for (config, plugin) in snapshot.config.plugins.iter().zip(&snapshot.plugins) {
        let Plugin::Loaded(loaded) = plugin else { continue };
        let report = loaded.report();
        for import in &report.unknown_imports {
            tracing::warn!(plugin = %config.name, import, "plugin imports what the host does not have; calling it traps");
        }
        for export in &report.unknown_exports {
            tracing::warn!(plugin = %config.name, export, "plugin exports what is no hook, most likely misspelt");
        }
    }
    for listener in &snapshot.config.listeners {
        for plugin in listener.plugins.iter().filter_map(|&index| snapshot.plugins.get(index)) {
            let Plugin::Loaded(loaded) = plugin else { continue };
            if !loaded.subscribes(Hook::ConnectionOpen) && !loaded.subscribes(Hook::ConnectionClose) {
                let (listener, plugin) = (&*listener.name, &**loaded.name());
                tracing::warn!(listener, plugin, "plugin is listed at a listener, but has no hook for connections");
            }
        }
    }
}

/// Says which changes a reload cannot make.
pub(super) fn warn_of_restart(old: &Config, new: &Config, workers: usize) {
    if new.workers.is_some_and(|count| count.get() != workers) {
        tracing::warn!("`workers` takes effect with the next start");
    }
    if old.admin != new.admin {
        tracing::warn!("`admin` takes effect with the next start");
    }
    if old.plugin_cache != new.plugin_cache {
        tracing::warn!("`plugin_cache` takes effect with the next start");
    }
}
