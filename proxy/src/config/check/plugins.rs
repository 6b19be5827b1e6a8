//! Checks `plugins` and `limits`, what stands between listener and upstream.
//! It loads and counts nothing.

use super::{At, Context};
use crate::config::file::{LimitFile, Named, OnFailureFile, PluginFile};
use crate::config::syntax::LimitKey;
use crate::limit::config::{Key, Limit};
use crate::plugin::config::{Allow, Budget, Isolation, OnFailure, Plugin, Source};

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
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        plugins.push(Plugin {
            name: name.into(),
            source,
            config: file.config,
            on_failure: match file.on_failure {
                OnFailureFile::Open => OnFailure::Open,
                OnFailureFile::Closed => OnFailure::Closed,
            },
            required: file.required,
            isolation: Isolation::Worker,
            allow: Allow::ALL,
            budget: Budget {
                memory: file.budget.memory.0.bytes(),
                deadline: file.budget.deadline.0.0,
                series: count(file.budget.series),
                log_fields: count(file.budget.log_fields),
                spans: count(file.budget.spans),
                ..Budget::default()
            },
        });
    }
    plugins
}
