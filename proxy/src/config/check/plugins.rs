//! Checks `plugins`, `plugin_cache` and `limits`, what stands between listener and upstream.
//! It loads and counts nothing.

use std::path::PathBuf;

use super::{At, Context};
use crate::config::file::{
    BudgetFile, CapabilityFile, IsolationFile, LimitFile, Named, OnFailureFile, PluginCacheFile, PluginFile,
};
use crate::config::syntax::LimitKey;
use crate::limit::config::{Key, Limit};
use crate::plugin::config::{Allow, Budget, Capability, Isolation, OnFailure, Plugin, Source};

/// A client of IPv6 usually has such a network for itself.
const IPV6_PREFIX: u8 = 64;

pub(super) fn limits(files: Named<LimitFile>, at: At<'_>, context: &mut Context<'_>) -> Vec<Limit> {
    let limit = |(name, file): (String, LimitFile)| {
        let at = at.key(&name);
        if file.ipv6_prefix.is_some() && file.key.0 != LimitKey::ClientAddress {
            context.error_at_key(
                at.key("ipv6_prefix"),
                "`ipv6_prefix` without an address",
                "it only goes with `key: client.address`",
            );
        }
        let key = match file.key.0 {
            LimitKey::Global => Key::Global,
            LimitKey::Route => Key::Route,
            LimitKey::ClientAddress => Key::ClientAddress { ipv6_prefix: file.ipv6_prefix.unwrap_or(IPV6_PREFIX) },
            LimitKey::Header(name) => Key::Header(name),
            LimitKey::Plugin(name) => Key::Plugin(name.into()),
        };
        Limit { name: name.into(), key, quota: file.rate.0.quota(file.burst), max_keys: file.max_keys }
    };
    files.0.into_iter().map(limit).collect()
}

pub(super) fn plugins(files: Named<PluginFile>, at: At<'_>, context: &mut Context<'_>) -> Vec<Plugin> {
    let mut plugins = Vec::with_capacity(files.0.len());
    for (name, file) in files.0 {
        let at = at.key(&name);
        let source = match (file.builtin, file.file) {
            (Some(builtin), None) => Source::Builtin(builtin.into()),
            (None, Some(path)) => Source::File(context.file(&path)),
            (Some(_), Some(_)) => {
                context.error_at_key(at.key("file"), "both `builtin` and `file`", "a plugin has one of them");
                continue;
            }
            (None, None) => {
                if !at.pruned() {
                    let help = "give it `builtin`, the name of a shipped one, or `file`, a WebAssembly module";
                    context.error_at_key(at, format!("plugin `{name}` has neither `builtin` nor `file`"), help);
                }
                continue;
            }
        };
        plugins.push(Plugin {
            name: name.into(),
            on_failure: match file.on_failure {
                Some(OnFailureFile::Open) => OnFailure::Open,
                Some(OnFailureFile::Closed) => OnFailure::Closed,
                None => source.on_failure(),
            },
            source,
            config: file.config,
            required: file.required,
            isolation: match file.isolation {
                IsolationFile::Worker => Isolation::Worker,
                IsolationFile::Exchange => Isolation::Exchange,
            },
            allow: allow(&file.allow, at.key("allow"), context),
            budget: budget(&file.budget),
        });
    }
    plugins
}

/// The directory of compiled plugins. `environment` tells where this user's caches are.
pub(super) fn cache(
    file: PluginCacheFile,
    environment: &dyn Fn(&str) -> Option<String>,
    context: &Context<'_>,
) -> Option<PathBuf> {
    match file {
        PluginCacheFile::Usual(false) => None,
        PluginCacheFile::Directory { directory } => Some(context.path(&directory)),
        PluginCacheFile::Usual(true) => {
            // A relative one is not valid, says the XDG base directory specification.
            let place = |variable: &str| environment(variable).map(PathBuf::from).filter(|path| path.is_absolute());
            let caches = place("XDG_CACHE_HOME").or_else(|| Some(place("HOME")?.join(".cache")))?;
            Some(caches.join("tidegate"))
        }
    }
}

fn allow(files: &[CapabilityFile], at: At<'_>, context: &mut Context<'_>) -> Allow {
    for (index, file) in files.iter().enumerate() {
        if files.iter().take(index).any(|before| before == file) {
            let message = format!("`{}` is listed twice", capability(*file).as_str());
            context.error(at.item(index), message, "once is enough");
        }
    }
    if let Some(index) = files.iter().position(|file| *file == CapabilityFile::ChangeBodies)
        && !files.contains(&CapabilityFile::ReadBodies)
        && !at.pruned()
    {
        let help = "a body that a plugin does not see it cannot change; allow `read_bodies` too";
        context.warn(at.item(index), "`change_bodies` without `read_bodies`", help);
    }
    Allow::only(files.iter().map(|file| capability(*file)))
}

const fn capability(file: CapabilityFile) -> Capability {
    match file {
        CapabilityFile::Metrics => Capability::Metrics,
        CapabilityFile::LogFields => Capability::LogFields,
        CapabilityFile::LogLines => Capability::LogLines,
        CapabilityFile::Spans => Capability::Spans,
        CapabilityFile::Headers => Capability::Headers,
        CapabilityFile::Reply => Capability::Reply,
        CapabilityFile::ReadBodies => Capability::ReadBodies,
        CapabilityFile::ChangeBodies => Capability::ChangeBodies,
        CapabilityFile::Routing => Capability::Routing,
        CapabilityFile::KeyValue => Capability::KeyValue,
        CapabilityFile::CallOuts => Capability::CallOuts,
        CapabilityFile::Connections => Capability::Connections,
    }
}

fn budget(file: &BudgetFile) -> Budget {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Budget {
        memory: file.memory.0.bytes(),
        deadline: file.deadline.0.0,
        series: count(file.series),
        log_fields: count(file.log_fields),
        spans: count(file.spans),
        log_lines: file.log_lines,
        call_outs: count(file.call_outs),
        key_value: file.key_value.0.bytes(),
        bodies: file.bodies.0.bytes(),
    }
}
