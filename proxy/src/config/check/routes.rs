//! Checks `routes` and `defaults`.
//! It matches nothing.

use std::collections::HashSet;

use super::names::Names;
use super::{At, Context};
use crate::config::file::{DefaultsFile, MatchFile, RouteFile};
use crate::config::model::Route;
use crate::route::config::{Match, PathMatch, Rewrite};

/// The names that a route can refer to.
pub(super) struct Known<'a> {
    pub(super) listeners: &'a Names,
    pub(super) upstreams: &'a Names,
    pub(super) limits: &'a Names,
    pub(super) plugins: &'a Names,
}

pub(super) fn check(
    files: Vec<RouteFile>,
    defaults: &DefaultsFile,
    known: &Known<'_>,
    root: At<'_>,
    context: &mut Context<'_>,
) -> Vec<Route> {
    let default_limits = known.limits.find_all("limit", &defaults.limits, root.key("defaults").key("limits"), context);
    let default_plugins =
        known.plugins.find_all("plugin", &defaults.plugins, root.key("defaults").key("plugins"), context);
    let list = root.key("routes");
    let mut taken = HashSet::new();
    for (index, file) in files.iter().enumerate() {
        if let Some(name) = &file.name
            && !taken.insert(name.0.0.clone())
        {
            let at = list.item(index).key("name");
            context.error(at, format!("duplicate route name `{}`", name.0.0), "names are unique");
        }
    }
    let mut routes = Vec::with_capacity(files.len());
    for (index, file) in files.into_iter().enumerate() {
        let at = list.item(index);
        let name = file.name.map_or_else(|| free_name(&file.upstream, &mut taken), |name| name.0.0);
        let matcher = matcher(file.matcher, known.listeners, at.key("match"), context);
        let rewrite = Rewrite {
            prefix: file.rewrite.prefix.map(|prefix| prefix.0.0),
            host: file.rewrite.host.map(|host| host.0.0),
        };
        let upstream = known.upstreams.find("upstream", &file.upstream, at.key("upstream"), context);
        let limits = match &file.limits {
            Some(names) => known.limits.find_all("limit", names, at.key("limits"), context),
            None => default_limits.clone(),
        };
        let plugins = match &file.plugins {
            Some(names) => known.plugins.find_all("plugin", names, at.key("plugins"), context),
            None => default_plugins.clone(),
        };
        let timeout = file.timeout.as_ref().unwrap_or(&defaults.timeout).0.0;
        // Without an upstream there is an error already, and no one will ask for this route.
        let upstream = upstream.unwrap_or(usize::MAX);
        routes.push(Route { name: name.into(), matcher, rewrite, upstream, limits, plugins, timeout });
    }
    routes
}

fn free_name(upstream: &str, taken: &mut HashSet<String>) -> String {
    let mut name = upstream.to_owned();
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{upstream}-{number}");
        number += 1;
    }
    name
}

fn matcher(file: MatchFile, listeners: &Names, at: At<'_>, context: &mut Context<'_>) -> Match {
    if file.path.is_some() && file.path_prefix.is_some() {
        context.error_at_key(at.key("path_prefix"), "both `path` and `path_prefix`", "a route has one of them");
    }
    let path = match (file.path, file.path_prefix) {
        (Some(template), _) => PathMatch::Template(template.0),
        (None, Some(prefix)) if &*prefix.0.0 == "/" => PathMatch::Any,
        (None, Some(prefix)) => PathMatch::Prefix(prefix.0.0),
        (None, None) => PathMatch::Any,
    };
    let mut headers = Vec::with_capacity(file.headers.0.len());
    for (name, value) in file.headers.0 {
        // The name was judged with the form of the file.
        let Ok(parsed) = http::HeaderName::from_bytes(name.as_bytes()) else { continue };
        if parsed == http::header::HOST {
            context.error_at_key(at.key("headers").key(&name), "`host` among the headers", "use `hosts`");
        }
        if headers.iter().any(|(other, _)| *other == parsed) {
            let message = format!("duplicate header `{parsed}`");
            context.error_at_key(at.key("headers").key(&name), message, "case does not matter in their names");
        }
        headers.push((parsed, value.0.0));
    }
    Match {
        hosts: file.hosts.unwrap_or_default().into_iter().map(|host| host.0).collect(),
        path,
        methods: file.methods.unwrap_or_default().into_iter().map(|method| method.0).collect(),
        headers,
        listeners: listeners.find_all("listener", &file.listeners.unwrap_or_default(), at.key("listeners"), context),
    }
}
