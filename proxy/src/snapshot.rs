//! A checked configuration, compiled: routes, limiters, upstreams, plugins, certificates; immutable, shared by all workers.
//! It neither binds nor dials.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::config::Config;
use crate::limit::Limiter;
use crate::listen::{self, tls};
use crate::plugin::{self, Engine, LoadError, Loaded, builtin};
use crate::route::Router;
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::metrics::{Conflict, Registry, ScrapeError, Scraper, process};
use crate::upstream::{self, Cluster};

/// One version of everything that workers need.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the versions of this process, from 1.
    pub version: u64,
    pub config: Config,
    pub router: Router,
    /// As in `config.limits`.
    pub limiters: Vec<Arc<Limiter>>,
    /// As in `config.upstreams`.
    pub clusters: Vec<Arc<Cluster>>,
    /// As in `config.plugins`.
    pub plugins: Vec<Plugin>,
    /// As in `config.listeners`.
    pub tls: Vec<Option<Arc<ServerConfig>>>,
    pub foundation: Foundation,
}

/// A plugin that could be loaded, or why it could not.
#[derive(Clone, Debug)]
pub enum Plugin {
    Loaded(Arc<Loaded>),
    Failed(Arc<LoadError>),
}

/// What outlives every version, and is needed to build one.
#[derive(Clone, Debug)]
pub struct Foundation {
    pub engine: Engine,
    pub registry: Registry,
    pub catalogue: Catalogue,
    /// Answers scrapes, on the admin port and on listeners.
    pub scraper: Arc<Scraper>,
}

/// Why a process cannot start whatever its configuration.
#[derive(Debug, thiserror::Error)]
pub enum FoundationError {
    #[error("cannot start the plugin engine: {0}")]
    Engine(#[from] LoadError),
    #[error("cannot define the proxy's metrics: {0}")]
    Metrics(#[from] Conflict),
    #[error("cannot set up scrapes: {0}")]
    Scrape(#[from] ScrapeError),
}

/// Why a configuration that is well-formed cannot be used: what names it, and what is wrong with what it names.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("upstreams.{name}: {source}")]
    Upstream { name: Arc<str>, source: upstream::Error },
    #[error("listeners[{index}].tls: {source}")]
    Tls { index: usize, source: listen::Error },
    /// With the generation that runs now, and goes on doing so.
    #[error("plugins.{name}: {source}")]
    Plugin { name: Arc<str>, source: Arc<LoadError>, runs: Option<u64> },
}

// === impl Foundation ===

impl Foundation {
    /// The start of a process: no metric is counted yet. Compiled plugins are kept in `modules`; where that folder cannot be used, the
    /// log says why and they are not kept.
    ///
    /// # Errors
    /// When the plugin engine cannot start here.
    pub fn new(modules: Option<&Path>) -> Result<Self, FoundationError> {
        let mut engine = Engine::new()?;
        if let Some(Err(error)) = modules.map(|directory| engine.keep_modules(directory)) {
            tracing::warn!("compiled plugins are not kept: {error}");
        }
        let registry = Registry::new();
        let catalogue = Catalogue::new(&registry)?;
        process::publish(&registry, &catalogue.runtime);
        let scraper = Arc::new(Scraper::new(&registry, &catalogue)?);
        Ok(Self { engine, registry, catalogue, scraper })
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Compiles `config`. What has not changed since `previous` is taken over with its state: counts of limits, breakers,
    /// compiled plugins. Blocks while it reads files and compiles.
    ///
    /// # Errors
    /// All that is wrong, not just the first. A plugin that cannot be loaded is an error where it is `required`, and where it runs
    /// now: something that works is not given up for something that does not.
    pub fn build(config: Config, previous: Option<&Self>, foundation: &Foundation) -> Result<Self, Vec<BuildError>> {
        let mut errors = Vec::new();
        let clusters = config
            .upstreams
            .iter()
            .filter_map(|upstream| {
                cluster(upstream, previous, foundation)
                    .map_err(|source| errors.push(BuildError::Upstream { name: Arc::clone(&upstream.name), source }))
                    .ok()
            })
            .collect();
        let mut tls = Vec::with_capacity(config.listeners.len());
        for (index, listener) in config.listeners.iter().enumerate() {
            tls.push(match listener.tls.as_ref().map(tls::server_config) {
                None => None,
                Some(Ok(loaded)) => {
                    for warning in loaded.warnings {
                        tracing::warn!(listener = %listener.name, "{warning}");
                    }
                    Some(loaded.config)
                }
                Some(Err(source)) => {
                    errors.push(BuildError::Tls { index, source });
                    None
                }
            });
        }
        let plugins: Vec<Plugin> = config.plugins.iter().map(|plugin| load(plugin, previous, foundation)).collect();
        for (plugin, loaded) in config.plugins.iter().zip(&plugins) {
            let Plugin::Failed(source) = loaded else { continue };
            let runs = previous.and_then(|previous| previous.loaded(&plugin.name));
            if plugin.required || runs.is_some() {
                let runs = runs.map(|loaded| loaded.report().generation);
                errors.push(BuildError::Plugin { name: Arc::clone(&plugin.name), source: Arc::clone(source), runs });
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let limiters = config.limits.iter().map(|limit| limiter(limit, previous)).collect();
        let router = Router::new(config.routes.iter().map(|route| route.matcher.clone()));
        let version = previous.map_or(0, |previous| previous.version) + 1;
        Ok(Self { version, config, router, limiters, clusters, plugins, tls, foundation: foundation.clone() })
    }

    /// The plugin of this name, where it could be loaded.
    pub fn loaded(&self, name: &str) -> Option<&Arc<Loaded>> {
        let position = self.config.plugins.iter().position(|plugin| *plugin.name == *name)?;
        match self.plugins.get(position)? {
            Plugin::Loaded(loaded) => Some(loaded),
            Plugin::Failed(_) => None,
        }
    }

    /// New exchanges on all workers see this version: what metrics say of its plugins is said of these.
    pub fn enter(&self) {
        for plugin in &self.plugins {
            if let Plugin::Loaded(loaded) = plugin {
                loaded.enter();
            }
        }
    }

    /// The plugins that could not be loaded, and why.
    pub fn failed_plugins(&self) -> impl Iterator<Item = (&Arc<str>, &LoadError)> {
        self.config.plugins.iter().zip(&self.plugins).filter_map(|(config, plugin)| match plugin {
            Plugin::Failed(error) => Some((&config.name, &**error)),
            Plugin::Loaded(_) => None,
        })
    }
}

fn cluster(
    upstream: &upstream::config::Upstream,
    previous: Option<&Snapshot>,
    foundation: &Foundation,
) -> Result<Arc<Cluster>, upstream::Error> {
    let mut clusters = previous.map(|previous| previous.clusters.as_slice()).unwrap_or_default().iter();
    let previous = clusters.find(|cluster| *cluster.name() == upstream.name);
    Cluster::new(upstream, previous.map(|cluster| &**cluster), &foundation.registry, &foundation.catalogue)
        .map(Arc::new)
}

fn limiter(limit: &crate::limit::config::Limit, previous: Option<&Snapshot>) -> Arc<Limiter> {
    let kept = previous.and_then(|previous| {
        let mut limits = previous.config.limits.iter().zip(&previous.limiters);
        limits.find(|(config, _)| *config == limit).map(|(_, limiter)| Arc::clone(limiter))
    });
    kept.unwrap_or_else(|| Arc::new(Limiter::new(limit)))
}

fn load(plugin: &plugin::config::Plugin, previous: Option<&Snapshot>, foundation: &Foundation) -> Plugin {
    let kept = previous.and_then(|previous| previous.loaded(&plugin.name)).filter(|kept| kept.is_current(plugin));
    if let Some(kept) = kept {
        return Plugin::Loaded(Arc::clone(kept));
    }
    match Loaded::load(&foundation.engine, plugin, &foundation.registry, builtin::lookup) {
        Ok(loaded) => Plugin::Loaded(loaded),
        Err(error) => Plugin::Failed(Arc::new(error)),
    }
}
