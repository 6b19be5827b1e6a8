//! One worker's face of a snapshot: its own plugin instances, upstream clients and metric handles.
//! It does not outlive its version, but for the exchanges that began with it.

mod events;
mod held;
mod hold;
mod retired;
mod route;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tidegate_abi::Hook;

use crate::limit::config::Key;
use crate::listen;
use crate::plugin::config::OnFailure;
use crate::plugin::contract::{Directory, Event};
use crate::plugin::{Instance, Loaded};
use crate::route::Router;
use crate::snapshot::{Plugin, Snapshot};
use crate::telemetry::config::LogInclude;
use crate::telemetry::metrics::{Counter, Histogram, Scraper};
use crate::telemetry::scope::{ListenerScope, RouteScope, WorkerScope};
use crate::upstream::{Breaker, Client, Pools};
use crate::vitals::Vitals;
use events::Events;
use held::Allowance;
pub use held::Share;
pub use hold::Hold;
use retired::Retired;
pub use route::{Chain, Keep, LimitView, RouteView};

/// Hooks that may be called when the request's headers have gone. Where they can change after that, all of them stay anyway.
const AFTER_REQUEST_HEAD: &[Hook] = &[
    Hook::RequestBody,
    Hook::RequestTrailers,
    Hook::UpstreamError,
    Hook::ResponseHead,
    Hook::ResponseBody,
    Hook::ResponseTrailers,
    Hook::Log,
];
/// Hooks that may be called when the response's headers have gone.
const AFTER_RESPONSE_HEAD: &[Hook] = &[
    // An upstream may answer before it has all of the request.
    Hook::RequestBody,
    Hook::RequestTrailers,
    Hook::ResponseBody,
    Hook::ResponseTrailers,
    Hook::Log,
];

/// What an exchange sees, from its beginning to its end.
#[derive(Debug)]
pub struct View {
    snapshot: Arc<Snapshot>,
    listeners: Vec<ListenerView>,
    routes: Vec<RouteView>,
    limits: Vec<LimitView>,
    upstreams: Vec<Rc<Client>>,
    /// Empty where the plugin could not be loaded.
    plugins: Vec<Option<Rc<Ticking>>>,
    directory: Rc<Directory>,
    vitals: Rc<Vitals>,
    worker: Rc<WorkerScope>,
    /// Of routes whose requests a plugin has sent to another upstream, by both indices.
    scopes: RefCell<HashMap<(usize, usize), Rc<RouteScope>>>,
    /// By plugin and upstream.
    call_outs: RefCell<HashMap<(Arc<str>, usize), CallOuts>>,
    retired: Retired,
}

/// The metrics of one plugin's own requests to one upstream.
#[derive(Debug)]
struct CallOuts {
    ok: Counter,
    failed: Counter,
    duration: Histogram,
}

/// A plugin's instance, and when its tick hook is called next. It goes on in the next version where nothing of it changes.
#[derive(Debug)]
struct Ticking {
    instance: Instance,
    every: Option<Duration>,
    due: Cell<Instant>,
    /// Whether its last tick still waits.
    ticking: Cell<bool>,
    events: Events,
    /// What it may hold back of bodies.
    bodies: Rc<Allowance>,
}

#[derive(Debug)]
struct ListenerView {
    scope: Rc<ListenerScope>,
    /// Paths that answer a scrape.
    scrape: Vec<Arc<str>>,
    /// Plugins that hear of its connections, in order.
    plugins: Vec<usize>,
}

// === impl View ===

impl View {
    /// A view for the worker that owns `worker`, `pools` and `vitals`, which follows `before`. Exchanges go on between the starts of two
    /// plugins, on the view before.
    pub async fn new(
        snapshot: Arc<Snapshot>,
        worker: &Rc<WorkerScope>,
        pools: &Pools,
        vitals: Rc<Vitals>,
        before: Option<&Self>,
        hold: &mut Hold,
    ) -> Self {
        let config = &snapshot.config;
        let directory = directory(&snapshot, before);
        let mut plugins = Vec::with_capacity(snapshot.plugins.len());
        for (plugin, config) in snapshot.plugins.iter().zip(&config.plugins) {
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
            let families = &worker.catalogue().plugin;
            let bodies = match before.and_then(|before| before.named(loaded.name())) {
                // What exchanges of the version before hold is held by this worker all the same.
                Some(old) => {
                    old.bodies.allow(config.budget.bodies);
                    Rc::clone(&old.bodies)
                }
                None => Rc::new(Allowance::new(
                    config.budget.bodies,
                    worker.shard().gauge(&families.held, &[loaded.name()]),
                    worker.shard().counter(&families.dropped, &[loaded.name(), "body", "budget"]),
                )),
            };
            plugins.push(Some(Rc::new(Ticking {
                instance,
                every,
                due,
                ticking: Cell::default(),
                events: Events::default(),
                bodies,
            })));
            hold.pause().await;
        }
        let includes = config.telemetry.access_log.as_ref().map(|log| log.include.as_slice()).unwrap_or_default();
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
                let has = |hooks: &[Hook]| hooks.iter().any(|hook| !chain.of(*hook).is_empty());
                let reads_request_body = has(&[Hook::RequestBody, Hook::RequestTrailers]);
                let reads_response_body = has(&[Hook::ResponseBody, Hook::ResponseTrailers]);
                let asks_before_attempts = has(&[Hook::UpstreamChosen, Hook::Retry]);
                let reads_headers = |hooks: &[Hook]| {
                    route
                        .plugins
                        .iter()
                        .filter_map(|&plugin| plugins.get(plugin)?.as_ref())
                        .any(|plugin| plugin.instance.loaded().reads_headers(hooks))
                };
                let is_late =
                    |limit: &usize| config.limits.get(*limit).is_some_and(|limit| limit.key.is_set_by_plugins());
                RouteView {
                    scope: RouteScope::new(worker, &route.name, &route.matcher.path.template_text(), &upstream),
                    path: route.matcher.path.clone(),
                    rewrite: route.rewrite.clone(),
                    upstream: route.upstream,
                    limits: route.limits.clone(),
                    plugins: route.plugins.clone(),
                    timeout: route.timeout,
                    // The access log has taken what it wants of the request before.
                    keeps_request_head: match () {
                        () if asks_before_attempts => Keep::Map,
                        () if reads_headers(AFTER_REQUEST_HEAD) => Keep::Copy,
                        () => Keep::Nothing,
                    },
                    keeps_response_head: match () {
                        () if logs_response => Keep::Map,
                        () if reads_headers(AFTER_RESPONSE_HEAD) => Keep::Copy,
                        () => Keep::Nothing,
                    },
                    reads_request_body,
                    reads_response_body,
                    asks_before_attempts,
                    has_late_limits: route.limits.iter().any(is_late),
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
                plugins: listener
                    .plugins
                    .iter()
                    .copied()
                    .filter(|&plugin| match plugins.get(plugin) {
                        Some(Some(plugin)) => [Hook::ConnectionOpen, Hook::ConnectionClose]
                            .into_iter()
                            .any(|hook| plugin.instance.subscribes(hook)),
                        // One that is not there can still refuse.
                        _ => true,
                    })
                    .collect(),
            })
            .collect();
        let limits = config
            .limits
            .iter()
            .zip(&snapshot.limiters)
            .map(|(limit, limiter)| LimitView {
                name: Arc::from(&*limit.name),
                is_late: limit.key.is_set_by_plugins(),
                key: match &limit.key {
                    Key::Plugin(name) => Some(Arc::from(&**name)),
                    Key::Global | Key::Route | Key::ClientAddress { .. } | Key::Header(_) => None,
                },
                limiter: Arc::clone(limiter),
            })
            .collect();
        let upstreams = snapshot.clusters.iter().map(|cluster| pools.client(cluster)).collect();
        Self {
            listeners,
            routes,
            limits,
            upstreams,
            plugins,
            directory,
            vitals,
            snapshot,
            worker: Rc::clone(worker),
            scopes: RefCell::default(),
            call_outs: RefCell::default(),
            retired: Retired::default(),
        }
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

    pub(crate) fn breakers(&self) -> impl Iterator<Item = &Breaker> {
        self.upstreams.iter().filter_map(|client| client.cluster().breaker())
    }

    pub(crate) fn upstream(&self, index: usize) -> Option<&Client> {
        self.upstreams.get(index).map(|client| &**client)
    }

    /// The plugin's instance; `None` where it could not be loaded.
    pub(crate) fn instance(&self, plugin: usize) -> Option<&Instance> {
        self.plugins.get(plugin)?.as_ref().map(|ticking| &ticking.instance)
    }

    /// For what an exchange holds back of bodies for the plugin.
    pub(crate) fn share(&self, plugin: usize) -> Option<Share> {
        self.plugins.get(plugin)?.as_ref().map(|plugin| plugin.bodies.share())
    }

    /// The plugins whose tick hook is to be called now; say for each when it has [`ticked`](Self::ticked).
    pub(crate) fn due(&self, now: Instant) -> Vec<usize> {
        let mut due = Vec::new();
        for (index, plugin) in self.plugins.iter().enumerate() {
            if let Some(plugin) = plugin
                && let Some(every) = plugin.every
                && plugin.due.get() <= now
            {
                plugin.due.set(now + every);
                if !plugin.ticking.replace(true) {
                    due.push(index);
                }
            }
        }
        due
    }

    /// The plugin's tick is over.
    pub(crate) fn ticked(&self, plugin: usize) {
        self.retired.forget(plugin);
        if let Some(Some(plugin)) = self.plugins.get(plugin) {
            plugin.ticking.set(false);
        }
    }

    /// The plugins that have this hook.
    pub(crate) fn having(&self, hook: Hook) -> impl Iterator<Item = usize> {
        let having =
            move |plugin: &Option<Rc<Ticking>>| plugin.as_ref().is_some_and(|one| one.instance.subscribes(hook));
        self.plugins.iter().enumerate().filter(move |(_, plugin)| having(plugin)).map(|(index, _)| index)
    }

    /// The plugins that hear of a listener's connections, in order.
    pub(crate) fn connection_plugins(&self, listener: usize) -> &[usize] {
        self.listeners.get(listener).map(|listener| listener.plugins.as_slice()).unwrap_or_default()
    }

    /// Keeps an event for a plugin, where there is room. Whether somebody must begin to ask for it.
    pub(crate) fn remember(&self, plugin: usize, hook: Hook, event: Event) -> bool {
        let Some(Some(plugin)) = self.plugins.get(plugin) else { return false };
        plugin.events.push(hook, event, || {
            let labels = [&**plugin.instance.loaded().name(), hook.name(), "queue"];
            self.worker.shard().counter(&self.worker.catalogue().plugin.dropped, &labels).inc();
        })
    }

    /// The next event for a plugin, with how many were lost before it. After `None` somebody must begin anew.
    pub(crate) fn next_event(&self, plugin: usize) -> Option<(Hook, Event)> {
        self.plugins.get(plugin)?.as_ref()?.events.pop()
    }

    /// A route with another upstream than its own.
    pub(crate) fn scope(&self, route: usize, upstream: usize) -> Option<Rc<RouteScope>> {
        let own = self.routes.get(route)?;
        if own.upstream == upstream {
            return Some(Rc::clone(&own.scope));
        }
        let name = self.upstreams.get(upstream)?.cluster().name();
        let mut scopes = self.scopes.borrow_mut();
        let scope = scopes
            .entry((route, upstream))
            .or_insert_with(|| RouteScope::new(&self.worker, &own.scope.name, &own.scope.template, name));
        Some(Rc::clone(scope))
    }

    /// Counts a plugin's own request that has an answer, or none to come.
    pub(crate) fn count_call_out(&self, plugin: &Arc<str>, upstream: usize, ok: bool, took: Duration) {
        let Some(client) = self.upstreams.get(upstream) else { return };
        let mut all = self.call_outs.borrow_mut();
        let counts = all.entry((Arc::clone(plugin), upstream)).or_insert_with(|| {
            let (shard, families) = (self.worker.shard(), &self.worker.catalogue().plugin);
            let upstream = &**client.cluster().name();
            let counter = |outcome| shard.counter(&families.call_outs, &[plugin, upstream, outcome]);
            let duration = shard.histogram(&families.call_out_duration, &[plugin, upstream]);
            CallOuts { ok: counter("ok"), failed: counter("failed"), duration }
        });
        if ok {
            counts.ok.inc()
        } else {
            counts.failed.inc()
        }
        counts.duration.record(took.as_secs_f64());
    }

    /// Another version has taken its place: what it does of itself ends.
    pub(crate) fn retire(&self) {
        self.retired.set();
    }

    /// Ready when another version has taken its place; for the plugin's tick.
    pub(crate) fn poll_retired(&self, plugin: usize, cx: &Context<'_>) -> Poll<()> {
        self.retired.poll(plugin, cx)
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
