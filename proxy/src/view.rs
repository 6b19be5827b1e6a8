//! One worker's face of a snapshot: its own plugin instances, upstream clients and metric handles.
//! It does not outlive its version, but for the exchanges that began with it.

mod hold;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_abi::Hook;

use crate::limit::{Decision, Limiter, Subject};
use crate::listen;
use crate::plugin::config::OnFailure;
use crate::plugin::contract::{Directory, Matter};
use crate::plugin::{Instance, Loaded};
use crate::route::Router;
use crate::route::config::{PathMatch, Rewrite};
use crate::snapshot::{Plugin, Snapshot};
use crate::telemetry::config::LogInclude;
use crate::telemetry::metrics::Scraper;
use crate::telemetry::scope::{ListenerScope, RouteScope, WorkerScope};
use crate::upstream::{Client, Pools};
use crate::vitals::Vitals;
use crate::wire::body::Body;
pub use hold::Hold;

/// What an exchange sees, from its beginning to its end.
#[derive(Debug)]
pub struct View {
    snapshot: Arc<Snapshot>,
    listeners: Vec<ListenerView>,
    routes: Vec<RouteView>,
    limits: Vec<LimitView>,
    upstreams: Vec<Rc<Client<Body>>>,
    /// Empty where the plugin could not be loaded.
    plugins: Vec<Option<Rc<Ticking>>>,
    directory: Rc<Directory>,
    vitals: Rc<Vitals>,
}

/// A plugin's instance, and when its tick hook is called next. It goes on in the next version where nothing of it changes.
#[derive(Debug)]
struct Ticking {
    instance: Instance,
    every: Option<Duration>,
    due: Cell<Instant>,
}

#[derive(Debug)]
struct ListenerView {
    scope: Rc<ListenerScope>,
    /// Paths that answer a scrape.
    scrape: Vec<Arc<str>>,
}

/// A route as an exchange needs it.
#[derive(Debug)]
pub struct RouteView {
    pub scope: Rc<RouteScope>,
    pub path: PathMatch,
    pub rewrite: Rewrite,
    /// Index of the upstream.
    pub upstream: usize,
    /// Indices of the limits, in order.
    pub limits: Vec<usize>,
    /// Indices of the plugins, in order.
    pub plugins: Vec<usize>,
    pub chain: Chain,
    pub timeout: Option<Duration>,
    /// Whether somebody reads the request's headers after they were sent.
    pub keeps_request_head: bool,
    /// Whether somebody reads the response's headers after they were sent.
    pub keeps_response_head: bool,
}

/// Which plugins of a route (positions in its `plugins`) have which hook. A hook that nobody has costs nothing.
#[derive(Debug, Default)]
pub struct Chain {
    pub request_head: Vec<usize>,
    pub response_head: Vec<usize>,
    pub log: Vec<usize>,
}

/// A limit as an exchange needs it.
#[derive(Debug)]
pub struct LimitView {
    /// The worker's own copy, so that requests on different cores share no count.
    pub name: Arc<str>,
    limiter: Arc<Limiter>,
}

// === impl View ===

impl View {
    /// A view for the worker that owns `worker`, `pools` and `vitals`, which follows `before`. Exchanges go on between the starts of two
    /// plugins, on the view before.
    pub async fn new(
        snapshot: Arc<Snapshot>,
        worker: &Rc<WorkerScope>,
        pools: &Pools<Body>,
        vitals: Rc<Vitals>,
        before: Option<&Self>,
        hold: &mut Hold,
    ) -> Self {
        let config = &snapshot.config;
        let directory = directory(&snapshot, before);
        let mut plugins = Vec::with_capacity(snapshot.plugins.len());
        for plugin in &snapshot.plugins {
            let Plugin::Loaded(loaded) = plugin else {
                plugins.push(None);
                continue;
            };
            let old = before.and_then(|before| before.named(loaded.name()));
            if let Some(old) = old
                && old.goes_on(loaded, &directory, before)
            {
                plugins.push(Some(Rc::clone(old)));
                continue;
            }
            let every = loaded.tick_interval();
            let due = Cell::new(Instant::now() + every.unwrap_or_default());
            let old = old.map(|old| &old.instance);
            let instance = Instance::new(loaded, worker.shard(), Rc::clone(&directory), old);
            plugins.push(Some(Rc::new(Ticking { instance, every, due })));
            hold.pause().await;
        }
        let includes = config.telemetry.access_log.as_ref().map(|log| log.include.as_slice()).unwrap_or_default();
        let logs_request = includes.iter().any(|include| matches!(include, LogInclude::RequestHeader(_)));
        let logs_response = includes.iter().any(|include| matches!(include, LogInclude::ResponseHeader(_)));
        let routes = config
            .routes
            .iter()
            .map(|route| {
                let upstream = config
                    .upstreams
                    .get(route.upstream)
                    .map_or_else(|| Arc::from(""), |upstream| Arc::clone(&upstream.name));
                let chain = Chain::new(&route.plugins, &plugins);
                RouteView {
                    scope: RouteScope::new(worker, &route.name, &route.matcher.path.template_text(), &upstream),
                    path: route.matcher.path.clone(),
                    rewrite: route.rewrite.clone(),
                    upstream: route.upstream,
                    limits: route.limits.clone(),
                    plugins: route.plugins.clone(),
                    timeout: route.timeout,
                    keeps_request_head: logs_request || !chain.response_head.is_empty() || !chain.log.is_empty(),
                    keeps_response_head: logs_response || !chain.log.is_empty(),
                    chain,
                }
            })
            .collect();
        let listeners = config
            .listeners
            .iter()
            .enumerate()
            .map(|(index, listener)| ListenerView {
                scope: ListenerScope::new(worker, &listener.name),
                scrape: config
                    .telemetry
                    .metrics
                    .scrape
                    .iter()
                    .filter(|scrape| scrape.listener == Some(index))
                    .map(|scrape| Arc::clone(&scrape.path))
                    .collect(),
            })
            .collect();
        let limits = config
            .limits
            .iter()
            .zip(&snapshot.limiters)
            .map(|(limit, limiter)| LimitView { name: Arc::from(&*limit.name), limiter: Arc::clone(limiter) })
            .collect();
        let upstreams = snapshot.clusters.iter().map(|cluster| pools.client(cluster)).collect();
        Self { listeners, routes, limits, upstreams, plugins, directory, vitals, snapshot }
    }

    /// The instance of the plugin with this name.
    fn named(&self, name: &str) -> Option<&Rc<Ticking>> {
        let position = self.snapshot.config.plugins.iter().position(|plugin| *plugin.name == *name)?;
        self.plugins.get(position)?.as_ref()
    }

    /// The version that this is a face of.
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    pub(crate) fn router(&self) -> &Router {
        &self.snapshot.router
    }

    pub(crate) fn route(&self, index: usize) -> Option<&RouteView> {
        self.routes.get(index)
    }

    pub(crate) fn limit(&self, index: usize) -> Option<&LimitView> {
        self.limits.get(index)
    }

    pub(crate) fn listener(&self, index: usize) -> Option<&Rc<ListenerScope>> {
        self.listeners.get(index).map(|listener| &listener.scope)
    }

    pub(crate) fn listener_config(&self, index: usize) -> Option<&listen::config::Listener> {
        self.snapshot.config.listeners.get(index)
    }

    pub(crate) fn scrape_paths(&self, listener: usize) -> &[Arc<str>] {
        self.listeners.get(listener).map(|listener| listener.scrape.as_slice()).unwrap_or_default()
    }

    pub(crate) fn upstream(&self, index: usize) -> Option<&Client<Body>> {
        self.upstreams.get(index).map(|client| &**client)
    }

    /// The plugin's instance; `None` where it could not be loaded.
    pub(crate) fn instance(&self, plugin: usize) -> Option<&Instance> {
        self.plugins.get(plugin)?.as_ref().map(|ticking| &ticking.instance)
    }

    /// Calls the tick hook of every plugin that waits for it.
    pub(crate) fn tick(&self, now: Instant) {
        for plugin in self.plugins.iter().flatten() {
            if let Some(every) = plugin.every
                && plugin.due.get() <= now
            {
                plugin.due.set(now + every);
                let slot = plugin.instance.open();
                let _ = plugin.instance.call_with(Hook::Tick, slot, None, Matter::default());
                plugin.instance.release(slot);
            }
        }
    }

    /// Whether exchanges of this plugin fail when it does.
    pub(crate) fn fails_closed(&self, plugin: usize) -> bool {
        self.snapshot.config.plugins.get(plugin).is_some_and(|plugin| plugin.on_failure == OnFailure::Closed)
    }

    pub(crate) fn scraper(&self) -> &Scraper {
        &self.snapshot.foundation.scraper
    }

    /// Whether the worker's time to shut down is over: what is still under way is cut off.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.vitals.cut_off.get()
    }
}

/// The names of this version; those of the version before, where they are the same.
fn directory(snapshot: &Snapshot, before: Option<&View>) -> Rc<Directory> {
    let config = &snapshot.config;
    let routes = config.routes.iter().enumerate().map(|(index, route)| (Arc::from(&*route.name), index));
    let upstreams = config.upstreams.iter().enumerate().map(|(index, upstream)| (Arc::clone(&upstream.name), index));
    let directory = Directory { routes: routes.collect(), upstreams: upstreams.collect() };
    match before {
        Some(before) if *before.directory == directory => Rc::clone(&before.directory),
        _ => Rc::new(directory),
    }
}

// === impl Ticking ===

impl Ticking {
    /// Whether this instance serves the next version too, with all that the guest keeps: the plugin was not loaded anew, and the numbers
    /// that the names it can say stand for are the same.
    fn goes_on(&self, loaded: &Arc<Loaded>, directory: &Rc<Directory>, before: Option<&View>) -> bool {
        Arc::ptr_eq(self.instance.loaded(), loaded)
            && (!loaded.says_names() || before.is_some_and(|before| Rc::ptr_eq(&before.directory, directory)))
    }
}

// === impl Chain ===

impl Chain {
    fn new(plugins: &[usize], instances: &[Option<Rc<Ticking>>]) -> Self {
        let having = |hook: Hook| {
            plugins
                .iter()
                .enumerate()
                .filter(|&(_, &plugin)| match instances.get(plugin) {
                    Some(Some(plugin)) => plugin.instance.subscribes(hook),
                    // One that is not there is asked for once, where it can still refuse the request.
                    _ => hook == Hook::RequestHead,
                })
                .map(|(position, _)| position)
                .collect()
        };
        Self {
            request_head: having(Hook::RequestHead),
            response_head: having(Hook::ResponseHead),
            log: having(Hook::Log),
        }
    }
}

// === impl LimitView ===

impl LimitView {
    pub(crate) fn check(&self, subject: &Subject<'_>) -> Decision {
        self.limiter.check(subject)
    }
}
