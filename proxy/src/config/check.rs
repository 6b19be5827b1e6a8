//! From a file whose form is sound to a `Config`: names become indices, and what contradicts itself is found, all of it.
//! It reads nothing beside the file that it is given.

mod doubts;
mod listeners;
mod names;
mod plugins;
mod routes;
mod telemetry;
mod upstreams;

use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::file::File;
use super::model::{Admin, Config};
use super::tree::{Node, Span};
use names::Names;

/// The configuration, if nothing is wrong with it; `faults` gets what is, and warnings.
pub struct Checked {
    pub config: Config,
    /// The files that the configuration names, which decide with it.
    pub files: Vec<PathBuf>,
}

/// Checks a file. `whole` is the tree before anything unsound was taken out of it, `sound` after; `directory` is where
/// relative paths begin, `environment` the variables. What comes back is only to be used where `faults` has no error.
pub fn check(
    file: File,
    whole: &Node,
    sound: &Node,
    directory: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<Diagnostic>,
) -> Checked {
    let clean = faults.is_empty();
    let mut context = Context { faults, directory, files: Vec::new() };
    let root = At { node: sound, mark: sound.mark() };
    let declared = |key: &str| Names::of(whole, key);
    let (upstream_names, limit_names, plugin_names) = (declared("upstreams"), declared("limits"), declared("plugins"));

    let admin = Admin { address: file.admin.address.0.0 };
    let plugins = plugins::plugins(file.plugins, root.key("plugins"), &mut context);
    let plugin_names = plugin_names.found(plugins.iter().map(|plugin| &*plugin.name));
    let plugin_cache = plugins::cache(file.plugin_cache, environment, &context);
    let (listeners, listener_names) =
        listeners::check(file.listeners, admin.address, &plugin_names, whole, root, &mut context);
    let upstreams = upstreams::check(file.upstreams, root.key("upstreams"), &mut context);
    let limits = plugins::limits(file.limits, root.key("limits"), &mut context);
    let telemetry =
        telemetry::check(file.telemetry, admin.address, &listener_names, root.key("telemetry"), &mut context);
    let known = routes::Known {
        listeners: &listener_names,
        upstreams: &upstream_names.found(upstreams.iter().map(|upstream| &*upstream.name)),
        limits: &limit_names.found(limits.iter().map(|limit| &*limit.name)),
        plugins: &plugin_names,
    };
    let routes = routes::check(file.routes, &file.defaults, &known, root, &mut context);

    let files = std::mem::take(&mut context.files);
    let config = Config {
        admin,
        workers: file.workers.0.0,
        drain_delay: file.drain_delay.0.0,
        drain_timeout: file.drain_timeout.0.0,
        listeners,
        routes,
        upstreams,
        limits,
        plugins,
        plugin_cache,
        telemetry,
    };
    // Of a configuration with errors it cannot be said what is never used.
    if clean && context.faults.iter().all(|fault| fault.severity == super::diagnostic::Severity::Warning) {
        doubts::unused(&config, root, &mut context);
        doubts::hidden(&config, root, &mut context);
        doubts::uncounted(&config, root, &mut context);
    }
    Checked { config, files }
}

/// What the checks share.
struct Context<'a> {
    faults: &'a mut Vec<Diagnostic>,
    directory: &'a Path,
    files: Vec<PathBuf>,
}

/// A place in the sound tree. Below a key that is not written it stays where it is, so that there is always a line to show.
#[derive(Clone, Copy)]
struct At<'a> {
    node: &'a Node,
    /// Where its key stands.
    mark: Span,
}

// === impl Context ===

impl Context<'_> {
    /// Points at a value.
    fn error(&mut self, at: At<'_>, message: impl Into<String>, help: impl Into<String>) {
        let help: String = help.into();
        let mut fault = Diagnostic::error(at.node.mark(), at.node.path.clone(), message);
        fault.help = Some(help).filter(|help| !help.is_empty());
        self.faults.push(fault);
    }

    /// Points at a key.
    fn error_at_key(&mut self, at: At<'_>, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Diagnostic::error(at.mark, at.node.path.clone(), message).help(help));
    }

    fn warn(&mut self, at: At<'_>, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Diagnostic::warning(at.node.mark(), at.node.path.clone(), message).help(help));
    }

    /// Points at a key.
    fn warn_at_key(&mut self, at: At<'_>, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Diagnostic::warning(at.mark, at.node.path.clone(), message).help(help));
    }

    /// A path that the file names, from the directory of the configuration.
    fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// A path whose content decides with the configuration.
    fn file(&mut self, path: &str) -> PathBuf {
        let path = self.path(path);
        if !self.files.contains(&path) {
            self.files.push(path.clone());
        }
        path
    }
}

// === impl At ===

impl<'a> At<'a> {
    fn key(self, key: &str) -> Self {
        self.node.entry(key).map_or(self, |entry| At { node: &entry.node, mark: entry.key_span })
    }

    fn item(self, index: usize) -> Self {
        self.node.item(index).map_or(self, |node| At { node, mark: node.mark() })
    }

    fn has(self, key: &str) -> bool {
        self.node.entry(key).is_some()
    }

    /// Something below was wrong: what is missing here may have been written.
    fn pruned(self) -> bool {
        self.node.pruned
    }
}
