//! A compiled module whose exports and imports were checked: ready to be instantiated.
//! It runs nothing of the guest.

use std::time::Duration;

use tidegate_abi::{EXPORT_RELEASE, EXPORT_RESUME, EXPORT_VERSION, Hook, MODULE, Signature, imports};
use wasmtime::{ExternType, FuncType, InstancePre, Linker, Module, ModuleExport, Store, ValType};

use super::engine::Engine;
use super::error::LoadError;
use super::host;
use super::reach;
use super::state::State;

/// WASI's way to run a library's constructors.
pub(super) const EXPORT_INITIALIZE: &str = "_initialize";
pub(super) const EXPORT_MEMORY: &str = "memory";

/// What takes the name of a route or an upstream.
const SAYING_NAMES: [&str; 3] = [imports::ROUTE_SET, imports::UPSTREAM_SET, imports::CALL_OUT];

/// What reads headers.
const READING_HEADERS: [&str; 2] = [imports::HEADER_READ, imports::HEADERS_READ];

const I32: &[ValType] = &[ValType::I32];
const NONE: &[ValType] = &[];

/// A checked module.
pub(super) struct Program {
    pub pre: InstancePre<State>,
    /// By hook, its export: found here once, so that a start looks up no name.
    pub hooks: [Option<ModuleExport>; Hook::ALL.len()],
    pub resume: Option<ModuleExport>,
    pub release: Option<ModuleExport>,
    /// Whether it imports what takes the name of a route or an upstream.
    pub says_names: bool,
    /// By hook, whether it can come to read headers.
    pub reads_headers: [bool; Hook::ALL.len()],
    /// Imports that are not there; the module traps when it calls one.
    pub unknown_imports: Vec<String>,
    /// Exports that look like hooks and are none, most likely misspelt or of a later version.
    pub unknown_exports: Vec<String>,
    /// Time to compile it, or to read it where it was kept.
    pub compiled_in: Duration,
    /// Whether it was compiled before, and kept.
    pub cached: bool,
}

/// The type that an export must have.
struct Shape {
    parameters: &'static [ValType],
    results: &'static [ValType],
    text: &'static str,
}

// === impl Program ===

impl Program {
    /// Compiles and checks `bytes`. `store` is only needed to ask the linker what there is.
    pub fn new(engine: &Engine, bytes: &[u8], store: &mut Store<State>) -> Result<Self, LoadError> {
        check_magic(bytes)?;
        let started = std::time::Instant::now();
        let (module, cached) = engine.module(bytes).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
        let compiled_in = started.elapsed();
        let unknown_exports = check_exports(&module)?;
        check_memory(&module, store.data().identity.budget.memory)?;

        let mut linker = Linker::new(engine.wasm());
        let link = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
        host::link(&mut linker).map_err(link)?;
        let (mut unknown_imports, mut says_names) = (Vec::new(), false);
        for import in module.imports() {
            let name = format!("{}.{}", import.module(), import.name());
            says_names |= import.module() == MODULE && SAYING_NAMES.contains(&import.name());
            if !matches!(import.ty(), ExternType::Func(_)) {
                return Err(LoadError::ImportKind { import: name, found: kind(&import.ty()) });
            }
            if linker.get_by_import(&mut *store, &import).is_none() {
                unknown_imports.push(name);
            }
        }
        linker.define_unknown_imports_as_traps(&module).map_err(link)?;
        let pre = linker.instantiate_pre(&module).map_err(link)?;
        let hooks = Hook::ALL.map(|hook| module.get_export_index(hook.export()));
        let (resume, release) = (module.get_export_index(EXPORT_RESUME), module.get_export_index(EXPORT_RELEASE));
        Ok(Self {
            pre,
            hooks,
            resume,
            release,
            says_names,
            reads_headers: reading_headers(bytes),
            unknown_imports,
            unknown_exports,
            compiled_in,
            cached,
        })
    }

    pub fn subscribes(&self, hook: Hook) -> bool {
        self.hooks.get(hook as usize).is_some_and(Option::is_some)
    }
}

/// By hook, whether it can come to read headers, at once or when it is resumed. Of code that cannot be told all can.
fn reading_headers(bytes: &[u8]) -> [bool; Hook::ALL.len()] {
    let reads = |module: &str, name: &str| module == MODULE && READING_HEADERS.contains(&name);
    let Ok(readers) = reach::exports(bytes, reads) else { return [true; Hook::ALL.len()] };
    Hook::ALL.map(|hook| {
        let waits = hook.signature() == Signature::Deciding;
        readers.contains(hook.export()) || waits && readers.contains(EXPORT_RESUME)
    })
}

fn check_magic(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, 0, 1, 0, ..] => Err(LoadError::Component),
        [] => Err(LoadError::NotWasm("nothing, it is empty".to_owned())),
        _ => {
            let start = bytes.get(..bytes.len().min(8)).unwrap_or_default();
            Err(LoadError::NotWasm(format!("`{}`", start.escape_ascii())))
        }
    }
}

/// Checks every export that the ABI knows. Returns those that only look as if it did.
fn check_exports(module: &Module) -> Result<Vec<String>, LoadError> {
    match module.get_export(EXPORT_MEMORY) {
        Some(ExternType::Memory(_)) => {}
        Some(other) => return Err(wrong(EXPORT_MEMORY, &other, "a memory")),
        None => {
            return Err(LoadError::MissingExport {
                export: EXPORT_MEMORY,
                hint: "the host reads and writes the guest's memory through it; toolchains export it by default",
            });
        }
    }
    if module.get_export(EXPORT_VERSION).is_none() {
        return Err(LoadError::MissingExport {
            export: EXPORT_VERSION,
            hint: "is this a Tidegate plugin? with the Rust SDK write `#[plugin]` on the impl block, and \
                   `crate-type = [\"cdylib\"]` in Cargo.toml",
        });
    }
    let mut unknown = Vec::new();
    for export in module.exports() {
        match shape(export.name()) {
            Some(shape) => match export.ty() {
                ExternType::Func(found) if shape.fits(&found) => {}
                other => return Err(wrong(export.name(), &other, shape.text)),
            },
            None if export.name().starts_with("tidegate_") => unknown.push(export.name().to_owned()),
            None => {}
        }
    }
    Ok(unknown)
}

fn check_memory(module: &Module, budget: usize) -> Result<(), LoadError> {
    let Some(ExternType::Memory(memory)) = module.get_export(EXPORT_MEMORY) else { return Ok(()) };
    let needed = memory.minimum().saturating_mul(memory.page_size());
    if needed > budget as u64 { Err(LoadError::Memory { needed, budget }) } else { Ok(()) }
}

/// The type of each export of the ABI.
fn shape(export: &str) -> Option<Shape> {
    let hook = Hook::ALL.into_iter().find(|hook| hook.export() == export);
    Some(match (hook.map(Hook::signature), export) {
        (Some(Signature::Plain), _) | (None, EXPORT_VERSION) => {
            Shape { parameters: NONE, results: I32, text: "a function `() -> i32`" }
        }
        (None, EXPORT_INITIALIZE) => Shape { parameters: NONE, results: NONE, text: "a function `()`" },
        (Some(Signature::Deciding), _) => Shape { parameters: I32, results: I32, text: "a function `(i32) -> i32`" },
        (Some(Signature::Noting), _) | (None, EXPORT_RELEASE) => {
            Shape { parameters: I32, results: NONE, text: "a function `(i32)`" }
        }
        (None, EXPORT_RESUME) => {
            Shape { parameters: &[ValType::I32, ValType::I32], results: I32, text: "a function `(i32, i32) -> i32`" }
        }
        (None, _) => return None,
    })
}

fn wrong(export: &str, found: &ExternType, wanted: &'static str) -> LoadError {
    LoadError::WrongExport { export: export.to_owned(), found: kind(found), wanted }
}

fn kind(found: &ExternType) -> String {
    match found {
        ExternType::Func(function) => {
            let list = |types: &mut dyn Iterator<Item = ValType>| {
                types.map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
            };
            let results = list(&mut function.results());
            let arrow = if results.is_empty() { "" } else { " -> " };
            format!("a function `({}){arrow}{results}`", list(&mut function.params()))
        }
        ExternType::Global(_) => "a global".to_owned(),
        ExternType::Table(_) => "a table".to_owned(),
        ExternType::Memory(_) => "a memory".to_owned(),
        ExternType::Tag(_) => "a tag".to_owned(),
    }
}

// === impl Shape ===

impl Shape {
    fn fits(&self, found: &FuncType) -> bool {
        let same = |wanted: &[ValType], found: &mut dyn ExactSizeIterator<Item = ValType>| {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| ValType::eq(wanted, &found))
        };
        same(self.parameters, &mut found.params()) && same(self.results, &mut found.results())
    }
}
