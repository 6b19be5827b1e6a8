//! One worker with a hostile plugin twice, failing open and failing closed, a plugin that behaves in the same chains, and a bystander.
//! It knows no hostile plugin by name.

use serde_json::Value as Json;
use tidegate_tests::{Answer, Metrics, Origin, Proxy, eventually, eventually_some, get, origin, proxy};

use super::bystander::Bystander;

/// A running scene.
pub struct Scene {
    pub proxy: Proxy,
    pub origin: Origin,
    pub bystander: Bystander,
}

/// What a fault is called: in the metric of calls, and in an answer.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub hook: &'static str,
    pub outcome: &'static str,
    pub reason: &'static str,
}

pub const TRAP: Fault = Fault { hook: "request_head", outcome: "trap", reason: "plugin_trap" };
pub const DEADLINE: Fault = Fault { hook: "request_head", outcome: "deadline", reason: "plugin_deadline" };

// === impl Scene ===

impl Scene {
    /// The module as the plugin `open` on `/open`, and as `closed` on `/closed`; `more` are more keys of both.
    pub fn new(module: impl AsRef<[u8]>, more: &str) -> Self {
        let origin = origin().start();
        // Where a deadline is not what it is about, a busy machine must not bring it up.
        let more = &*if more.contains("deadline:") {
            more.to_owned()
        } else {
            assert!(!more.contains("budget:"), "a budget without a deadline");
            format!("{more}, budget: {{ deadline: 5s }}")
        };
        let route = |name: &str, plugins: &str| {
            format!(
                "\n  - {{ name: {name}, match: {{ path_prefix: /{name} }}, rewrite: {{ prefix: / }}, upstream: app, plugins: [{plugins}] }}"
            )
        };
        let proxy = proxy()
            .file("hostile.wasm", module)
            .config("workers: 1")
            .config(format!(
                "routes:{}{}{}",
                route("open", "open, behaved"),
                route("closed", "behaved, closed"),
                route("good", "behaved")
            ))
            .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
            .config(format!(
                "plugins:\n  open: {{ file: hostile.wasm{more} }}\n  closed: {{ file: hostile.wasm, on_failure: closed{more} }}\n  \
                 behaved: {{ builtin: request-classifier, budget: {{ deadline: 1s }}, config: {{ label: kind, otherwise: other, rules: [] }} }}"
            ))
            .start();
        let bystander = Bystander::start(proxy.address());
        Self { proxy, origin, bystander }
    }

    pub async fn open(&self) -> Answer {
        get(self.proxy.address(), "/open").await
    }

    pub async fn closed(&self) -> Answer {
        get(self.proxy.address(), "/closed").await
    }

    /// Calls of a plugin so far.
    pub fn calls(&self, plugin: &str, hook: &str, outcome: &str) -> f64 {
        let labels = [("plugin", plugin), ("hook", hook), ("outcome", outcome)];
        self.proxy.scrape().value("tidegate_plugin_calls_total", &labels)
    }

    /// Waits for effects of a plugin that were dropped, and gives their number.
    #[track_caller]
    pub fn dropped(&self, plugin: &str, effect: &str, reason: &str) -> f64 {
        let labels = [("plugin", plugin), ("effect", effect), ("reason", reason)];
        eventually_some(&format!("dropped {labels:?}"), || {
            Some(self.proxy.scrape().value("tidegate_plugin_dropped_total", &labels)).filter(|dropped| *dropped > 0.0)
        })
    }

    /// Waits until both plugins are in this state: 1 running, 0.5 in quarantine, 0 not loaded.
    #[track_caller]
    pub fn state(&self, state: f64) {
        eventually(&format!("both are in the state {state}"), || {
            let scrape = self.proxy.scrape();
            ["open", "closed"]
                .iter()
                .all(|plugin| scrape.get("tidegate_plugin_state", &[("plugin", plugin)]) == Some(state))
        });
    }

    /// What the proxy says of a plugin on standard error.
    pub fn lines(&self, plugin: &str) -> Vec<Json> {
        self.proxy.diagnostics().into_iter().filter(|line| line["plugin"] == plugin).collect()
    }

    /// The last exchange of a route in the access log.
    #[track_caller]
    pub fn line(&self, route: &str) -> Json {
        eventually_some(&format!("a line of {route}"), || {
            self.proxy.log_lines().into_iter().rev().find(|line| line["route"] == route)
        })
    }

    /// A fault of a request's hook, with all that must follow from it: the exchange's answer, the metrics, what is said of it, a fresh
    /// instance, and quarantine in the end.
    pub async fn falls(&self, what: &str, fault: Fault) {
        // Fail open: the exchange goes on as if the plugin were not there, through the other plugin.
        let answer = self.open().await;
        assert_eq!(answer.status, 200, "{what}");
        let line = self.line("open");
        assert!(line["error"].is_null(), "{what}: {line:#}");
        // Fail closed: this exchange fails, and nothing reaches the origin.
        let answer = self.closed().await;
        assert_eq!((answer.status, answer.reason().as_str()), (500, fault.reason), "{what}");
        let line = self.line("closed");
        assert_eq!(
            (&line["error"]["source"], &line["error"]["reason"]),
            (&"plugin".into(), &fault.reason.into()),
            "{what}"
        );
        assert_eq!(line["attempts"], 0, "{what}");
        let errors = [("source", "plugin"), ("reason", fault.reason), ("route", "closed")];
        self.proxy.wait_for_metric("tidegate_errors_total", &errors, 1.0);
        for plugin in ["open", "closed"] {
            assert_eq!(self.calls(plugin, fault.hook, fault.outcome), 1.0, "{what}");
            // The instance is replaced, which happens once.
            self.proxy.wait_for_metric("tidegate_plugin_restarts_total", &[("plugin", plugin)], 1.0);
            let said =
                || -> Vec<Json> { self.lines(plugin).into_iter().filter(|line| line["hook"] == fault.hook).collect() };
            eventually("the fault is said", || !said().is_empty());
            let said = said();
            assert_eq!(said.len(), 1, "{what}: {said:#?}");
            assert_eq!(said[0]["correlation_id"], self.line(plugin)["correlation_id"], "{what}");
            assert_eq!(said[0]["level"], "warn", "{what}");
        }
        self.bystander.goes_on();
        self.rests(what, fault).await;
    }

    /// More of the same: after five faults the plugin is not called any more.
    async fn rests(&self, what: &str, fault: Fault) {
        for _ in 0..4 {
            assert_eq!(self.open().await.status, 200, "{what}");
            assert_eq!(self.closed().await.status, 500, "{what}");
        }
        self.state(0.5);
        let faults = self.calls("open", fault.hook, fault.outcome);
        assert!(faults >= 5.0, "{what}: {faults} faults");
        assert_eq!(self.open().await.status, 200, "{what}");
        let answer = self.closed().await;
        // Where the machine is slow its first rest, of a second, may be over by now.
        let expected = [(503, "plugin_unavailable".to_owned()), (500, fault.reason.to_owned())];
        assert!(expected.contains(&(answer.status, answer.reason())), "{what}: {} {}", answer.status, answer.reason());
        for plugin in ["open", "closed"] {
            let said = self.lines(plugin);
            assert!(said.iter().any(|line| !line["quarantine"].is_null()), "{what}: {said:#?}");
        }
        self.bystander.goes_on();
    }

    /// The end: nobody else was harmed. Every exchange of every route passed the plugin that behaves, and the bystander had its answers.
    #[track_caller]
    pub fn end(self) -> Metrics {
        let asked = self.bystander.end();
        let passed = |metrics: &Metrics| metrics.value("requests_by_kind_total", &[("plugin", "behaved")]);
        let log = [("plugin", "behaved"), ("hook", "log"), ("outcome", "ok")];
        eventually("the bystander's requests are counted", || {
            self.proxy.scrape().value("tidegate_plugin_calls_total", &log) >= asked as f64
        });
        let metrics = self.proxy.scrape();
        assert_eq!(passed(&metrics), metrics.value("tidegate_plugin_calls_total", &log));
        for outcome in ["trap", "deadline", "failed", "unavailable"] {
            let labels = [("plugin", "behaved"), ("outcome", outcome)];
            assert_eq!(metrics.value("tidegate_plugin_calls_total", &labels), 0.0, "{outcome}");
        }
        assert_eq!(metrics.get("tidegate_plugin_state", &[("plugin", "behaved")]), Some(1.0));
        metrics
    }
}
