//! The metrics of plugins: what they do, use and lose. What a plugin itself counts is not here.
//! It knows no plugin.

use super::metrics;

/// Seconds. An empty hook takes 50 ns and a usual one half a microsecond, so the first bound is 250 ns; the last is 100 ms,
/// well above the default deadline of 5 ms, so that a hook which nears its deadline is seen before it meets it.
const HOOK: &[f64] = &[
    250e-9, 500e-9, 1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 100e-3,
];

/// Seconds. A call-out is a request to a service near by that an exchange waits for: from 1 ms, the least that one takes over a
/// network, to 5 s, the timeout where a plugin names none.
const CALL_OUT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

const PLUGIN: &str = "plugins of the configuration";
const HOOK_NAME: &str = "hooks of the plugin ABI";

const EFFECT: &str = "`series`, `metric`, `log_field`, `log_line`, `span`, `attribute`, `event`, `header`, `correlation`, `reply`, \
    `body`, `route`, `upstream`, `timeout`, `limit_key`, `store`, `sleep`, `call_out`, `connection`, `state`, `limit_decision`, \
    `breaker_transition`";

metrics! {
    /// Plugins.
    Plugin {
        /// Calls of a plugin's hooks.
        calls: Counter "tidegate.plugin.calls", "{call}", {
            "plugin": PLUGIN,
            "hook": HOOK_NAME,
            "outcome": "`ok`, `reply`, `pending`, `failed`, `trap`, `deadline`, `unavailable`",
        };
        /// Time that a plugin's hook took; one call in 16 is timed.
        hook_duration: Histogram "tidegate.plugin.hook.duration", "s" [HOOK], { "plugin": PLUGIN, "hook": HOOK_NAME };
        /// Requests that a plugin made of its own to an upstream, once they had an answer or none to come.
        call_outs: Counter "tidegate.plugin.call_outs", "{call_out}", {
            "plugin": PLUGIN,
            "upstream": "upstreams of the configuration",
            "outcome": "`ok`, `failed`",
        };
        /// Time from a plugin's own request to the end of its answer, or until it failed.
        call_out_duration: Histogram "tidegate.plugin.call_out.duration", "s" [CALL_OUT], {
            "plugin": PLUGIN,
            "upstream": "upstreams of the configuration",
        };
        /// Linear memory of a plugin's instances, all workers together.
        memory: Gauge "tidegate.plugin.memory", "By", { "plugin": PLUGIN };
        /// Bytes of bodies that a plugin holds back, all workers together.
        held: Gauge "tidegate.plugin.held", "By", { "plugin": PLUGIN };
        /// Series that a plugin's metrics have.
        series: Gauge "tidegate.plugin.series", "{series}", { "plugin": PLUGIN };
        /// Bytes of a plugin's key-value store, as its budget counts them.
        store_bytes: Gauge "tidegate.plugin.store.bytes", "By", { "plugin": PLUGIN };
        /// Entries of a plugin's key-value store; those whose time is over count until they are cleared away.
        store_entries: Gauge "tidegate.plugin.store.entries", "{entry}", { "plugin": PLUGIN };
        /// Effects of a plugin that were dropped.
        dropped: Counter "tidegate.plugin.dropped", "{effect}", {
            "plugin": PLUGIN,
            "effect": EFFECT,
            "reason": "`budget`, `invalid`, `reserved`, `denied`, `queue`",
        };
        /// State of a plugin: 1 running, 0.5 in quarantine, 0 not loaded.
        state: Gauge "tidegate.plugin.state", "", { "plugin": PLUGIN };
        /// Which generation of a plugin new exchanges see; one more each time that the plugin is loaded anew.
        generation: Gauge "tidegate.plugin.generation", "", { "plugin": PLUGIN };
        /// Generations of a plugin that are there: 1, one more for each older one that exchanges still use, 0 when it is gone.
        generations: Gauge "tidegate.plugin.generations", "{generation}", { "plugin": PLUGIN };
        /// Instances of a plugin that were replaced after a fault.
        restarts: Counter "tidegate.plugin.restarts", "{instance}", { "plugin": PLUGIN };
    }
}
