//! The WASM engine and its clock: one for the process, shared by every plugin and worker.
//! It knows no plugin and no exchange.
//!
//! Instances are allocated on demand, with copy-on-write memory images. One is made for each plugin and worker, and after a trap;
//! for each exchange only with `isolation: exchange`. To make and configure it takes 15 us (`benches/hooks.rs`). The pooling allocator
//! could save some 5 us of that, but would reserve the addresses of all its slots at the start, 4 GiB each: 4 TiB for its usual 1,000.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wasmtime::Module;

use super::compiled::{Cache, FolderError};
use super::error::LoadError;
use super::series::Admitted;
use super::store::Store;
use crate::telemetry::metrics::{Gauge, Registry};

/// How often the epoch advances: the resolution of every deadline.
const TICK: Duration = Duration::from_millis(1);
/// As many ticks at most are made up for at a time.
const CAUGHT_UP: u32 = 4;
/// The clock stops this long after the end of the last call's longest possible time.
const IDLE_TICKS: u64 = 100;
/// Stack of the guest. A worker's thread has 2 MiB; what is left is for the host functions.
const GUEST_STACK: usize = 512 * 1024;

/// Compiles and runs modules. Cheap to clone; the clock's thread ends with the last clone.
#[derive(Clone)]
pub struct Engine {
    wasm: wasmtime::Engine,
    clock: Arc<Clock>,
    cache: Option<Arc<Cache>>,
    plugins: Arc<Mutex<HashMap<Arc<str>, Generations>>>,
}

/// What was loaded under one plugin's name.
#[derive(Default)]
struct Generations {
    ever: u64,
    /// Loaded and not dropped.
    alive: u64,
    /// The one that new exchanges see; 0 for none.
    in_force: u64,
    /// What they keep in common.
    store: Option<Arc<Store>>,
    /// One for each registry, of which a process has one.
    admitted: Vec<Arc<Admitted>>,
}

/// The thread that advances the epoch while calls are made, and sleeps otherwise.
struct Clock {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Set by a call, cleared by the clock: written at most once in [`IDLE_TICKS`] by each worker, otherwise only read.
    busy: AtomicBool,
    asleep: AtomicBool,
    stop: AtomicBool,
    /// The longest deadline there is, in ticks: as long may a call still run after `busy` was set.
    horizon: AtomicU64,
}

// === impl Engine ===

impl Engine {
    /// Starts the engine and its clock.
    ///
    /// # Errors
    /// [`LoadError::Engine`] when the machine cannot run compiled code, or no thread can be started.
    pub fn new() -> Result<Self, LoadError> {
        let mut config = wasmtime::Config::new();
        config
            .epoch_interruption(true)
            .max_wasm_stack(GUEST_STACK)
            .cranelift_opt_level(wasmtime::OptLevel::Speed)
            .memory_init_cow(true)
            .wasm_memory64(false)
            .wasm_multi_memory(false)
            .parallel_compilation(true);
        let wasm = wasmtime::Engine::new(&config).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        let clock = Arc::new(Clock::start(wasm.clone())?);
        Ok(Self { wasm, clock, cache: None, plugins: Arc::default() })
    }

    /// Keeps compiled modules in this folder, and uses those that are there.
    ///
    /// # Errors
    /// When the folder cannot be used; the engine is as good without.
    pub fn keep_modules(&mut self, directory: &Path) -> Result<(), FolderError> {
        self.cache = Some(Arc::new(Cache::open(directory, &self.wasm)?));
        Ok(())
    }

    /// The compiled module of `bytes`, and whether there was no need to compile it.
    pub(super) fn module(&self, bytes: &[u8]) -> wasmtime::Result<(Module, bool)> {
        match &self.cache {
            Some(cache) => cache.module(&self.wasm, bytes),
            None => Ok((Module::new(&self.wasm, bytes)?, false)),
        }
    }

    pub(super) const fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    /// The epochs of a deadline. One more than its milliseconds, since the current one is already under way.
    pub(super) fn ticks(&self, deadline: Duration) -> u64 {
        let ticks =
            u64::try_from(deadline.as_micros().div_ceil(TICK.as_micros())).unwrap_or(u64::MAX / 4).saturating_add(1);
        self.clock.shared.horizon.fetch_max(ticks, Ordering::Relaxed);
        ticks
    }

    /// Says that a call begins: the clock runs for as long as it may take. Two loads when it already runs.
    pub(super) fn wake(&self) {
        let shared = &self.clock.shared;
        if !shared.busy.load(Ordering::Relaxed) {
            shared.busy.store(true, Ordering::SeqCst);
        }
        // With `SeqCst` here and in the thread at least one side sees what the other wrote.
        if shared.asleep.load(Ordering::SeqCst)
            && let Some(thread) = &self.clock.thread
        {
            thread.thread().unpark();
        }
    }

    /// A plugin of this name was loaded. Returns how often, this time included: the number of its generation, which is in force at once
    /// where there is no other. `alive` shows how many there are.
    pub(super) fn loaded(&self, plugin: &Arc<str>, alive: &Gauge) -> u64 {
        self.with(plugin, |generations| {
            generations.ever += 1;
            generations.alive += 1;
            if generations.alive == 1 {
                generations.in_force = generations.ever;
            }
            alive.set(generations.alive as f64);
            generations.ever
        })
    }

    /// The store of the plugins of this name. It is kept until the last of them is dropped.
    pub(super) fn store(&self, plugin: &Arc<str>, make: impl FnOnce() -> Store) -> Arc<Store> {
        self.with(plugin, |generations| generations.store.get_or_insert_with(|| Arc::new(make())).clone())
    }

    /// What the plugins of this name have of series in `registry`, whichever generation they were of.
    pub(super) fn admitted(&self, plugin: &Arc<str>, registry: &Registry) -> Arc<Admitted> {
        self.with(plugin, |generations| {
            let known = generations.admitted.iter().find(|admitted| admitted.is_of(registry));
            known.cloned().unwrap_or_else(|| {
                let admitted = Arc::new(Admitted::new(plugin.clone(), registry.clone()));
                generations.admitted.push(admitted.clone());
                admitted
            })
        })
    }

    /// New exchanges see this generation from now on. `say` is called before anybody else can say something of the plugin.
    pub(super) fn enter(&self, plugin: &Arc<str>, generation: u64, say: impl FnOnce()) {
        self.with(plugin, |generations| {
            generations.in_force = generations.in_force.max(generation);
            if generations.in_force == generation {
                say();
            }
        });
    }

    /// Calls `say` if this generation is what new exchanges see.
    pub(super) fn if_in_force(&self, plugin: &Arc<str>, generation: u64, say: impl FnOnce()) {
        self.with(plugin, |generations| {
            if generations.in_force == generation {
                say();
            }
        });
    }

    /// One that was loaded is dropped. `last` is called if it was the last of its name.
    pub(super) fn dropped(&self, plugin: &Arc<str>, alive: &Gauge, last: impl FnOnce()) {
        self.with(plugin, |generations| {
            generations.alive = generations.alive.saturating_sub(1);
            alive.set(generations.alive as f64);
            if generations.alive == 0 {
                generations.in_force = 0;
                generations.store = None;
                last();
            }
        });
    }

    /// How many generations of this name are loaded: more than one while exchanges go on with an older one.
    pub(super) fn alive(&self, plugin: &Arc<str>) -> u64 {
        self.with(plugin, |generations| generations.alive)
    }

    fn with<T>(&self, plugin: &Arc<str>, change: impl FnOnce(&mut Generations) -> T) -> T {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        change(plugins.entry(plugin.clone()).or_default())
    }

    /// Whether the clock has stopped for want of calls.
    #[cfg(test)]
    pub(super) fn is_asleep(&self) -> bool {
        self.clock.shared.asleep.load(Ordering::SeqCst)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

// === impl Clock ===

impl Clock {
    fn start(engine: wasmtime::Engine) -> Result<Self, LoadError> {
        let shared = Arc::new(Shared {
            busy: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            horizon: AtomicU64::new(0),
        });
        let thread = thread::Builder::new()
            .name("plugin-clock".to_owned())
            .spawn({
                let shared = shared.clone();
                move || shared.run(&engine)
            })
            .map_err(|error| LoadError::Engine(format!("no thread for the clock: {error}")))?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread only sleeps and counts; it cannot have panicked.
            let _ = thread.join();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn run(&self, engine: &wasmtime::Engine) {
        let mut quiet = 0;
        // The time up to which epochs were counted. Sleeping takes longer than asked, on a busy machine by far: what was slept too
        // long is made up for, else each tick of a deadline would add to how late it is.
        let mut counted = Instant::now();
        while !self.stop.load(Ordering::SeqCst) {
            if quiet < self.horizon.load(Ordering::Relaxed).saturating_add(IDLE_TICKS) {
                thread::sleep((counted + TICK).saturating_duration_since(Instant::now()));
                let now = Instant::now();
                for _ in 0..CAUGHT_UP {
                    if now.saturating_duration_since(counted) < TICK {
                        break;
                    }
                    counted += TICK;
                    engine.increment_epoch();
                }
                // What is left was a standstill of the machine, which no guest is to blame for.
                if now.saturating_duration_since(counted) >= TICK {
                    counted = now;
                }
                // Looked at rarely, so that the workers write to it rarely.
                quiet += 1;
                if quiet % IDLE_TICKS == 0 && self.busy.swap(false, Ordering::SeqCst) {
                    quiet = 0;
                }
            } else {
                self.asleep.store(true, Ordering::SeqCst);
                if !self.busy.load(Ordering::SeqCst) && !self.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
                counted = Instant::now();
                if self.busy.load(Ordering::SeqCst) {
                    quiet = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Engine, Registry};
    use crate::telemetry::metrics::catalogue::Catalogue;
    use std::sync::{Arc, Weak};

    #[test]
    fn the_clock_ends_with_the_last_engine() {
        let engine = Engine::new().unwrap();
        let shared: Weak<_> = Arc::downgrade(&engine.clock.shared);
        let other = engine.clone();
        drop(engine);
        assert!(shared.upgrade().is_some());
        drop(other);
        assert!(shared.upgrade().is_none(), "the thread holds the last reference, and must be gone");
    }

    #[test]
    fn generations_count_by_name() {
        let engine = Engine::new().unwrap();
        let registry = Registry::new();
        let catalogue = Catalogue::new(&registry).unwrap();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let gauge = |name: &Arc<str>| registry.shared().gauge(&catalogue.plugin.generations, &[name]);
        let load = |name| engine.loaded(name, &gauge(name));
        let drop_one = |name| {
            let mut last = false;
            engine.dropped(name, &gauge(name), || last = true);
            last
        };
        assert_eq!([load(&a), load(&a), load(&b)], [1, 2, 1]);
        assert_eq!([drop_one(&a), drop_one(&a)], [false, true]);
        assert_eq!([engine.alive(&a), engine.alive(&b)], [0, 1]);
        assert_eq!(load(&a), 3);
    }

    #[test]
    fn only_the_generation_in_force_speaks() {
        let engine = Engine::new().unwrap();
        let name: Arc<str> = "a".into();
        let speaks = |generation| {
            let mut said = false;
            engine.if_in_force(&name, generation, || said = true);
            said
        };
        let registry = Registry::new();
        let alive = registry.shared().gauge(&Catalogue::new(&registry).unwrap().plugin.generations, &[&name]);
        assert_eq!([engine.loaded(&name, &alive), engine.loaded(&name, &alive)], [1, 2]);
        assert_eq!([speaks(1), speaks(2)], [true, false], "the second one is not in force yet");
        engine.enter(&name, 2, || {});
        assert_eq!([speaks(1), speaks(2)], [false, true]);
        engine.enter(&name, 1, || panic!("an older one does not come back"));
    }
}
