//! From the text a user wrote to a checked configuration: read, substitute, validate, check.
//! It neither compiles nor opens anything that the text names.

pub mod watch;
mod check;
mod validate;
pub mod reference;
pub mod schema;
pub mod file;
pub mod syntax;
pub mod model;
mod environment;
pub mod diagnostic;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostic::Source;
use tree::{Broken, Node, Reading};

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use model::Config;

/// A configuration without an error.
#[derive(Clone)]
pub struct Loaded {
    pub config: Config,
    /// What is probably not meant.
    pub warnings: Vec<Diagnostic>,
    /// The configuration itself and the files it names that decide with it: plugins, certificates, keys, authorities.
    pub files: Vec<PathBuf>,
    /// The content of `files` when this was loaded, in short; empty for a text that came from no file.
    fingerprints: Vec<Option<u64>>,
    source: Arc<Source>,
    root: Arc<Node>,
}

/// Reads a configuration from a file, with the environment of this process. Everything that is wrong comes at once.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|error| Diagnostic::without_place(format!("cannot read {name}: {error}")))?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(good).filter(|byte| **byte == b'\n').count() + 1;
            return Err(Diagnostic::without_place(format!("{name} is not UTF-8 in line {line}")).into());
        }
    };
    let mut loaded = parse(&text, &name, &|variable| std::env::var(variable).ok())?;
    // Of the text that was read, whatever the file has become since; of the others before anybody reads them.
    let own = Some(watch::hash(text.as_bytes()));
    let others = watch::fingerprints(loaded.files.get(1..).unwrap_or_default());
    loaded.fingerprints = std::iter::once(own).chain(others).collect();
    Ok(loaded)
}

/// Reads a configuration from a text. `file_name` is shown in messages, and relative paths begin in its directory;
/// `environment` gives the values of `${…}`.
pub fn parse(text: &str, file_name: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Diagnostics> {
    let schema = schema::schema();
    let mut source = Source::new(file_name, text);
    let Reading { root, mut faults, broken } = tree::read(text, environment);
    let mut secrets = Vec::new();
    validate::secrets(&root, schema, &mut secrets);
    secrets.into_iter().for_each(|span| source.hide(span));
    if let Some(Broken { last, keys }) = broken {
        // What comes after was not read, so nobody knows what in it is secret.
        let fault = faults.iter().filter_map(|fault| fault.span).max().unwrap_or_default();
        if validate::is_secret(&keys, schema) {
            source.hide_rest(last);
        } else if source.mentions("headers", fault)
            || keys.first().is_some_and(|key| validate::holds_secrets(key, schema))
        {
            source.hide_rest(fault);
        }
        return Err(located(faults, &Arc::new(source)));
    }
    let sound = validate::validate(&root, schema, &mut faults);
    let file = match serde_json::from_value(sound.json) {
        Ok(file) => file,
        Err(error) => {
            // The schema and the file types come from the same lines, so this is a fault of ours; say so rather than guess.
            faults.push(Diagnostic::error(root.mark(), "", format!("cannot be read: {error}")));
            return Err(located(faults, &Arc::new(source)));
        }
    };
    let directory = Path::new(file_name).parent().unwrap_or(Path::new(""));
    let checked = check::check(file, &root, &sound.node, directory, environment, &mut faults);
    let source = Arc::new(source);
    let all = located(faults, &source);
    if all.errors() > 0 {
        return Err(all);
    }
    let mut files = vec![PathBuf::from(file_name)];
    files.extend(checked.files);
    Ok(Loaded {
        config: checked.config,
        warnings: all.into_vec(),
        files,
        fingerprints: Vec::new(),
        source,
        root: Arc::new(root),
    })
}

fn located(mut faults: Vec<Diagnostic>, source: &Arc<Source>) -> Diagnostics {
    faults.iter_mut().for_each(|fault| fault.locate(source));
    Diagnostics::new(faults)
}

// === impl Loaded ===

impl Loaded {
    /// An error that a later stage found, at the key it concerns: `["plugins", "classify", "config"]`. Where the key is
    /// not written, it points at the nearest one above it.
    pub fn error_at(&self, keys: &[&str], message: impl Into<String>) -> Diagnostic {
        let mut node: &Node = &self.root;
        let mut span = node.mark();
        for key in keys {
            let below = match key.parse().ok().and_then(|index| node.item(index)) {
                Some(item) => Some((item, item.mark())),
                None => node.entry(key).map(|entry| (&entry.node, entry.key_span)),
            };
            let Some((next, mark)) = below else { break };
            (node, span) = (next, mark);
        }
        let mut diagnostic = Diagnostic::error(span, node.path.clone(), message);
        diagnostic.locate(&self.source);
        diagnostic
    }
}

/// Without the text, in which there may be secrets.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("config", &self.config).field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
