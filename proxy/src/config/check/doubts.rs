//! Warns of what is allowed and probably not meant: what is never used, never reached, never counted.
//! It looks at a configuration without errors, and refuses nothing.

use serde_json::Value as Json;

use super::{At, Context};
use crate::config::model::Config;
use crate::plugin::config::{Capability, Plugin, Source};

/// Warns of what is declared and never used.
pub(super) fn unused(config: &Config, root: At<'_>, context: &mut Context<'_>) {
    let mut warn = |kind: &str, key: &str, name: &str, help: &str, used: bool| {
        if !used {
            context.warn_at_key(root.key(key).key(name), format!("{kind} `{name}` is never used"), help);
        }
    };
    for (index, upstream) in config.upstreams.iter().enumerate() {
        let used = config.routes.iter().any(|route| route.upstream == index)
            || may_be_named(config, &upstream.name, &[Capability::CallOuts, Capability::Routing]);
        warn("upstream", "upstreams", &upstream.name, "no route names it", used);
    }
    for (index, limit) in config.limits.iter().enumerate() {
        let used = config.routes.iter().any(|route| route.limits.contains(&index));
        warn("limit", "limits", &limit.name, "no route names it", used);
    }
    for (index, plugin) in config.plugins.iter().enumerate() {
        warn("plugin", "plugins", &plugin.name, "no route and no listener names it", is_used(config, index));
    }
}

/// Warns of routes that can never match, since one before them takes all of their requests.
pub(super) fn hidden(config: &Config, root: At<'_>, context: &mut Context<'_>) {
    for (index, route) in config.routes.iter().enumerate() {
        let before = config.routes.iter().take(index).find(|before| before.matcher.shadows(&route.matcher));
        if let Some(before) = before
            && !may_be_named(config, &route.name, &[Capability::Routing])
        {
            let help = format!("route `{}` before it takes all of its requests", before.name);
            let message = format!("route `{}` can never match", route.name);
            context.warn(root.key("routes").item(index), message, help);
        }
    }
}

/// Warns of limits whose key nobody can set.
pub(super) fn uncounted(config: &Config, root: At<'_>, context: &mut Context<'_>) {
    // Any route will do: one that a plugin chooses keeps the plugins of the route before.
    let mut plugins =
        config.routes.iter().flat_map(|route| &route.plugins).filter_map(|&index| config.plugins.get(index));
    if plugins.any(|plugin| plugin.allow.has(Capability::Routing)) {
        return;
    }
    for limit in config.limits.iter().filter(|limit| limit.key.is_set_by_plugins()) {
        let at = root.key("limits").key(&limit.name).key("key");
        let help = "no route has a plugin that is allowed `routing`, and could set its key";
        context.warn(at, format!("limit `{}` never counts", limit.name), help);
    }
}

/// Whether a route or a listener names the plugin.
fn is_used(config: &Config, plugin: usize) -> bool {
    config.routes.iter().any(|route| route.plugins.contains(&plugin))
        || config.listeners.iter().any(|listener| listener.plugins.contains(&plugin))
}

/// Whether a plugin might say this name at run time, with any of these capabilities.
fn may_be_named(config: &Config, name: &str, capabilities: &[Capability]) -> bool {
    config.plugins.iter().enumerate().any(|(index, plugin)| {
        is_used(config, index)
            && capabilities.iter().any(|capability| plugin.allow.has(*capability))
            && might_know(plugin, name)
    })
}

/// Whether a plugin can know this name. A shipped one knows what its configuration says; what is in a module nobody knows.
fn might_know(plugin: &Plugin, name: &str) -> bool {
    match plugin.source {
        Source::File(_) => true,
        Source::Builtin(_) => mentions(&plugin.config, name),
    }
}

fn mentions(config: &Json, name: &str) -> bool {
    match config {
        Json::String(text) => text == name,
        Json::Array(items) => items.iter().any(|item| mentions(item, name)),
        Json::Object(entries) => entries.iter().any(|(key, value)| key == name || mentions(value, name)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}
