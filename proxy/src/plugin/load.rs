//! Loads a plugin on the control thread: read, compile, try out, define its metrics. What comes out can run on any worker.
//! It serves no exchange.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate_abi::{Hook, MetricKind};
use wasmtime::Store;

use super::builtin;
use super::compiled::Digest;
use super::config::{Isolation, OnFailure, Plugin, Source};
use super::contract::Fault;
use super::definitions::Definitions;
use super::engine::Engine;
use super::error::LoadError;
use super::live::Live;
use super::module::Program;
use super::series::{Admitted, Vocabulary};
use super::state::{Identity, State};
use super::store;
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::metrics::{Definition, Family, Gauge, Kind, Registry};

/// A module larger than this is a mistake.
const LARGEST: u64 = 64 * 1024 * 1024;
/// How long a plugin may take to start and configure itself.
const DEADLINE: Duration = Duration::from_secs(1);
/// What a start on a worker may take at least: on a busy machine a thread can lose its core for some milliseconds.
const START: Duration = Duration::from_millis(50);
/// The boundaries of a histogram that says none: seconds, as OpenTelemetry's HTTP conventions have them.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A plugin that was compiled, tried out and configured.
pub struct Loaded {
    plugin: Plugin,
    /// Of the file's content; `None` where there is no file.
    content: Option<Digest>,
    pub(super) engine: Engine,
    pub(super) program: Program,
    pub(super) identity: Arc<Identity>,
    pub(super) definitions: Definitions,
    /// Of the metrics in `definitions`, in the same order.
    pub(super) families: Vec<Family>,
    pub(super) catalogue: Catalogue,
    pub(super) admitted: Arc<Admitted>,
    pub(super) store: Arc<store::Store>,
    /// How long an instance on a worker may take to start.
    pub(super) start_deadline: Duration,
    pub(super) deadline_ticks: u64,
    gauges: Gauges,
    report: Report,
}

/// What an operator may want to know of a load that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Bytes of the module.
    pub size: usize,
    /// Time to compile it, or to read it where it was compiled before.
    pub compiled_in: Duration,
    /// Whether it was compiled before, and kept in the cache.
    pub cached: bool,
    /// Time to start and configure an instance.
    pub started_in: Duration,
    /// Bytes of memory that an instance has after it was configured.
    pub memory: usize,
    /// How often a plugin of this name was loaded, this time included.
    pub generation: u64,
    /// Imports that the host does not have, as `module.name`; the plugin traps when it calls one.
    pub unknown_imports: Vec<String>,
    /// Exports that begin with `tidegate_` and mean nothing in this version.
    pub unknown_exports: Vec<String>,
}

/// What the shared shard shows of a plugin, over all workers and generations.
struct Gauges {
    state: Gauge,
    generation: Gauge,
    generations: Gauge,
    /// On how many workers this generation is in quarantine.
    resting: AtomicUsize,
    /// The fault that led to its last quarantine.
    rests_for: Mutex<Option<String>>,
}

// === impl Loaded ===

impl Loaded {
    /// Loads a plugin. Blocks while it compiles, so call it on the control thread. `builtin` finds the modules in the binary.
    ///
    /// # Errors
    /// Says what is wrong with the module or its configuration, and what to do; the plugin's state metric then reads 0.
    pub fn load(
        engine: &Engine,
        plugin: &Plugin,
        registry: &Registry,
        builtin: fn(&str) -> Option<&'static [u8]>,
    ) -> Result<Arc<Self>, LoadError> {
        let catalogue = Catalogue::new(registry)
            .map_err(|error| LoadError::Metric { metric: "tidegate.*".to_owned(), problem: error.to_string() })?;
        let state = registry.shared().gauge(&catalogue.plugin.state, &[&plugin.name]);
        match Self::try_load(engine, plugin, registry, builtin, catalogue) {
            Ok(loaded) => {
                // Where another one is in force, the one who loads decides whether this one takes its place.
                engine.if_in_force(&plugin.name, loaded.report.generation, || loaded.gauges.entered(&loaded.report));
                Ok(Arc::new(loaded))
            }
            Err(error) => {
                // Otherwise an earlier one runs on; should it go too, its end sets the state.
                if engine.alive(&plugin.name) == 0 {
                    state.set(0.0);
                }
                Err(error)
            }
        }
    }

    /// New exchanges see this generation from now on: what is said of the plugin is said of this one.
    pub fn enter(&self) {
        self.engine.enter(&self.identity.name, self.report.generation, || {
            self.gauges.entered(&self.report);
            self.store.resize(self.identity.budget.key_value);
        });
    }

    fn try_load(
        engine: &Engine,
        plugin: &Plugin,
        registry: &Registry,
        find: fn(&str) -> Option<&'static [u8]>,
        catalogue: Catalogue,
    ) -> Result<Self, LoadError> {
        let bytes = match &plugin.source {
            Source::File(path) => Cow::Owned(read(path)?),
            Source::Builtin(name) => match find(name) {
                Some(bytes) => Cow::Borrowed(bytes),
                None => {
                    let shipped = builtin::names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                    return Err(LoadError::UnknownBuiltin { name: name.to_string(), shipped });
                }
            },
        };
        let content = matches!(plugin.source, Source::File(_)).then(|| Digest::of(&[&bytes]));
        let identity = Arc::new(Identity::new(plugin));
        let fresh = || State::new(identity.clone(), Rc::default(), None);
        let program = Program::new(engine, &bytes, &mut Store::new(engine.wasm(), fresh()))?;

        let started = Instant::now();
        let live = Live::start(engine, &program, fresh(), DEADLINE).map_err(|(_, fault)| fault.into_load_error())?;
        let started_in = started.elapsed();
        let tried = live.store.into_data();
        let families = define(registry, &tried.definitions)?;

        let shared = registry.shared();
        let gauge = |family| shared.gauge(family, &[&plugin.name]);
        let gauges = Gauges {
            state: gauge(&catalogue.plugin.state),
            generation: gauge(&catalogue.plugin.generation),
            generations: gauge(&catalogue.plugin.generations),
            resting: AtomicUsize::new(0),
            rests_for: Mutex::default(),
        };
        let generation = engine.loaded(&plugin.name, &gauges.generations);
        let admitted = engine.admitted(&plugin.name, registry);
        let vocabulary = Vocabulary::new(&tried.definitions, &families);
        admitted.enter(generation, vocabulary, shared.gauge(&catalogue.plugin.series, &[&plugin.name]));
        let store = engine.store(&plugin.name, || {
            let gauge = |family| shared.gauge(family, &[&plugin.name]);
            store::Store::new(
                plugin.budget.key_value,
                gauge(&catalogue.plugin.store_bytes),
                gauge(&catalogue.plugin.store_entries),
            )
        });
        Ok(Self {
            plugin: plugin.clone(),
            content,
            engine: engine.clone(),
            families,
            admitted,
            store,
            catalogue,
            // On a worker a start holds up requests: it may take what it took here, with a margin for a busy machine.
            start_deadline: (started_in * 4 + plugin.budget.deadline).clamp(START, DEADLINE),
            deadline_ticks: engine.ticks(plugin.budget.deadline),
            gauges,
            report: Report {
                size: bytes.len(),
                compiled_in: program.compiled_in,
                cached: program.cached,
                started_in,
                memory: tried.limits.bytes,
                generation,
                unknown_imports: program.unknown_imports.clone(),
                unknown_exports: program.unknown_exports.clone(),
            },
            definitions: tried.definitions,
            program,
            identity,
        })
    }

    /// The plugin's name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.identity.name
    }

    /// Whether the plugin has this hook; one that it has not need not be called.
    pub fn subscribes(&self, hook: Hook) -> bool {
        self.program.subscribes(hook)
    }

    /// Whether one of these hooks, which come after a message has gone, can read headers: only then are they kept for it.
    pub fn reads_headers(&self, hooks: &[Hook]) -> bool {
        hooks.iter().any(|&hook| {
            self.subscribes(hook) && self.program.reads_headers.get(hook as usize).copied().unwrap_or_default()
        })
    }

    /// Whether the plugin can say names of the [`Directory`](super::contract::Directory).
    pub const fn says_names(&self) -> bool {
        self.program.says_names
    }

    /// How often the hook `tick` is to be called on each worker; `None` for never.
    pub fn tick_interval(&self) -> Option<Duration> {
        self.definitions.tick.filter(|_| self.subscribes(Hook::Tick))
    }

    /// What becomes of an exchange when the plugin fails.
    pub const fn on_failure(&self) -> OnFailure {
        self.plugin.on_failure
    }

    /// What shares an instance of it.
    pub(super) const fn isolation(&self) -> Isolation {
        self.plugin.isolation
    }

    /// What the load found out.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// On how many workers the plugin is in quarantine now.
    pub fn resting(&self) -> usize {
        self.gauges.resting.load(Ordering::Relaxed)
    }

    /// The fault for which it is in quarantine, where it is.
    pub fn rests_for(&self) -> Option<String> {
        let fault = || self.gauges.rests_for.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.resting() > 0).then(fault).flatten()
    }

    /// How many generations of the plugin there are: more than this one while exchanges go on with an older one.
    pub fn generations(&self) -> u64 {
        self.engine.alive(&self.identity.name)
    }

    /// Whether loading `plugin` now would give the same: the same configuration, and a file with the same content. Reads the file.
    pub fn is_current(&self, plugin: &Plugin) -> bool {
        let content = || match &plugin.source {
            Source::File(path) => read(path).ok().map(|bytes| Digest::of(&[&bytes])),
            Source::Builtin(_) => None,
        };
        self.plugin == *plugin && self.content == content()
    }

    /// A worker's instance goes into quarantine for this fault, or its quarantine begins anew.
    pub(super) fn note_rest(&self, fault: &Fault) {
        *self.gauges.rests_for.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.to_string());
    }

    /// A worker's instance went into quarantine, or came out of it.
    pub(super) fn set_resting(&self, rests: bool) {
        if rests {
            self.gauges.resting.fetch_add(1, Ordering::Relaxed);
        } else {
            self.gauges.resting.fetch_sub(1, Ordering::Relaxed);
        }
        let generation = self.report.generation;
        self.engine.if_in_force(&self.identity.name, generation, || self.gauges.show_state());
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let gauges = &self.gauges;
        self.admitted.leave(self.report.generation);
        self.engine.dropped(&self.identity.name, &gauges.generations, || _ = gauges.state.set(0.0));
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("plugin", &self.plugin.name)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    // Not to wait for the other end of a pipe.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("it is no file")));
    }
    let mut bytes = Vec::new();
    // The metadata of a growing file says nothing, so the limit holds for what is read.
    if metadata.len() <= LARGEST {
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    let size = metadata.len().max(bytes.len() as u64);
    if size > LARGEST {
        return Err(LoadError::TooLarge { path: path.to_owned(), size, limit: LARGEST });
    }
    Ok(bytes)
}

/// Defines the plugin's metrics: the label `plugin`, and those that the plugin declared.
fn define(registry: &Registry, definitions: &Definitions) -> Result<Vec<Family>, LoadError> {
    let define = |metric: &super::definitions::Metric| {
        let names = metric.labels.iter().filter_map(|&set| definitions.label_sets.get(set));
        let labels = std::iter::once("plugin".to_owned()).chain(names.map(|set| set.name.to_string()));
        let kind = match metric.kind {
            MetricKind::Counter => Kind::Counter,
            MetricKind::Gauge => Kind::Gauge,
            MetricKind::Histogram => Kind::Histogram,
        };
        let buckets = match metric.kind {
            MetricKind::Histogram if metric.buckets.is_empty() => BUCKETS.to_vec(),
            _ => metric.buckets.clone(),
        };
        let definition = Definition {
            name: metric.name.to_string(),
            unit: metric.unit.to_string(),
            help: metric.help.to_string(),
            kind,
            labels: labels.collect(),
            buckets,
        };
        let failed = |problem: &dyn std::fmt::Display| LoadError::Metric {
            metric: metric.name.to_string(),
            problem: problem.to_string(),
        };
        registry.define(definition).map_err(|conflict| failed(&conflict))
    };
    definitions.metrics.iter().map(define).collect()
}

// === impl Identity ===

impl Identity {
    pub(super) fn new(plugin: &Plugin) -> Self {
        /// Tells the plugins of one record apart; that it wraps after 65,536 loads does no harm.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        Self {
            name: plugin.name.clone(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            config: plugin.config.to_string().into_bytes().into(),
            allow: plugin.allow,
            budget: plugin.budget,
        }
    }
}

// === impl Gauges ===

impl Gauges {
    /// This generation is in force.
    fn entered(&self, report: &Report) {
        self.generation.set(report.generation as f64);
        self.show_state();
    }

    fn show_state(&self) {
        self.state.set(if self.resting.load(Ordering::Relaxed) == 0 { 1.0 } else { 0.5 });
    }
}
