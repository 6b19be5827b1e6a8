//! Why a plugin cannot be loaded, in words that say what to do.
//! It knows nothing of exchanges: a fault of a running plugin is a [`Fault`](super::contract::Fault).

use std::path::PathBuf;
use std::time::Duration;

use tidegate_abi as abi;

/// Why a plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The WASM engine cannot start on this machine.
    #[error("the wasm engine cannot start: {0}")]
    Engine(String),
    /// The file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// The file is too large to be meant.
    #[error("`{path}` has {size} bytes; a module may have at most {limit}")]
    TooLarge { path: PathBuf, size: u64, limit: u64 },
    /// No plugin of this name is in the binary.
    #[error("no plugin `{name}` is shipped in this binary, only {shipped}; write `file:` to load a module of your own")]
    UnknownBuiltin { name: String, shipped: String },
    /// The bytes are not a WASM module at all.
    #[error("not a wasm module: it begins with {0}; build it with `cargo build --release --target wasm32-wasip1`")]
    NotWasm(String),
    /// A component, not a core module.
    #[error("a wasm component, not a core module; build it for `wasm32-wasip1`, not `wasm32-wasip2`")]
    Component,
    /// The module is malformed, or uses a proposal that is not switched on.
    #[error("the module does not compile: {0}")]
    Compile(String),
    /// An export that every plugin has is not there.
    #[error("the export `{export}` is missing; {hint}")]
    MissingExport { export: &'static str, hint: &'static str },
    /// An export has another type than the ABI says.
    #[error("the export `{export}` is {found}, but must be {wanted}; see docs/abi.md")]
    WrongExport { export: String, found: String, wanted: &'static str },
    /// Only functions can be imported.
    #[error("the import `{import}` is {found}, but the host only has functions; see docs/abi.md")]
    ImportKind { import: String, found: String },
    /// An import has the name of a host function, but another type.
    #[error("an import does not fit the host function of its name: {0}; see docs/abi.md")]
    Link(String),
    /// Built for another version of the ABI.
    #[error(
        "built for version {found} of the plugin abi, but this proxy has version {}; build it with the SDK of this release",
        abi::VERSION
    )]
    Version { found: i32 },
    /// The module needs more memory than its budget from the start.
    #[error("needs {needed} bytes of memory to begin with, but `budget.memory` is {budget}; raise it")]
    Memory { needed: u64, budget: usize },
    /// The module could not be instantiated, or its initialisation trapped.
    #[error("cannot be instantiated: {0}")]
    Instantiate(String),
    /// The plugin looked at its `config` and refused it.
    #[error("refused its config: {0}")]
    Refused(String),
    /// `configure` trapped or broke the ABI.
    #[error("failed while configuring: {0}")]
    Configure(String),
    /// `configure` did not come to an end.
    #[error("did not finish configuring within {0:?}")]
    Slow(Duration),
    /// A metric of the plugin is already defined in another way.
    #[error("cannot define the metric `{metric}`: {problem}")]
    Metric { metric: String, problem: String },
}

// === impl LoadError ===

impl LoadError {
    /// The key of the plugin's configuration that it is about, from the plugin's own on. None below `config`: the line there, which
    /// messages show, may hold secrets.
    pub const fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Read { .. }
            | Self::TooLarge { .. }
            | Self::NotWasm(_)
            | Self::Component
            | Self::Compile(_)
            | Self::MissingExport { .. }
            | Self::WrongExport { .. }
            | Self::ImportKind { .. }
            | Self::Link(_)
            | Self::Version { .. }
            | Self::Instantiate(_) => &["file"],
            Self::UnknownBuiltin { .. } => &["builtin"],
            Self::Memory { .. } => &["budget", "memory"],
            Self::Engine(_) | Self::Refused(_) | Self::Configure(_) | Self::Slow(_) | Self::Metric { .. } => &[],
        }
    }
}
