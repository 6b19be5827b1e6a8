//! Compiled modules, kept on disk: what was compiled once for this engine and this processor is read the next time.
//! It knows no plugin, only modules; whatever is wrong with the cache costs time, never a plugin.
//!
//! What stands in the files is machine code, and runs as part of the proxy. See docs/decisions/0013-module-cache.md for what is
//! checked, and against whom.

mod digest;
mod entry;
mod folder;
mod trusted;

use std::hash::Hash;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::Module;

pub(super) use digest::Digest;
use digest::Hashing;
use entry::Verified;
pub use folder::FolderError;
use folder::{Folder, Found};

/// The form of the files; a change of it makes all of them unknown.
const FORM: &str = "tidegate compiled module 1";

/// A folder of compiled modules, for one engine.
pub(super) struct Cache {
    folder: Folder,
    /// What a compiled module depends on beside its source: wasmtime's version, the settings of the compiler, the processor.
    engine: Digest,
    /// Whether it was said that nothing can be written.
    said: AtomicBool,
}

// === impl Cache ===

impl Cache {
    /// A cache in this folder, which is made where it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or others could put something into it.
    pub fn open(directory: &Path, engine: &wasmtime::Engine) -> Result<Self, FolderError> {
        let mut hashing = Hashing::new();
        hashing.bytes(FORM.as_bytes());
        hashing.bytes(std::env::consts::ARCH.as_bytes());
        engine.precompile_compatibility_hash().hash(&mut hashing);
        Ok(Self { folder: Folder::open(directory)?, engine: hashing.done(), said: AtomicBool::new(false) })
    }

    /// The compiled module of `bytes`, and whether it was in the cache. One that was not is put there.
    ///
    /// # Errors
    /// When the module does not compile.
    pub fn module(&self, engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<(Module, bool)> {
        let key = self.key(bytes);
        let name = entry::name(&key);
        match self.find(engine, &key, &name) {
            Ok(Some(module)) => return Ok((module, true)),
            Ok(None) => {}
            Err(problem) => {
                let file = self.folder.path().join(&name);
                tracing::warn!(file = %file.display(), "a compiled module in the cache is not used, and compiled anew: {problem}");
            }
        }
        let module = Module::new(engine, bytes)?;
        let artifact = module.serialize()?;
        if let Err(error) = self.folder.write(&name, &[&entry::head(&key, &artifact), &artifact])
            && !self.said.swap(true, Ordering::Relaxed)
        {
            let directory = self.folder.path().display();
            tracing::warn!(%directory, %error, "compiled modules cannot be kept; the next start compiles them again");
        }
        Ok((module, false))
    }

    fn find(&self, engine: &wasmtime::Engine, key: &Digest, name: &str) -> Result<Option<Module>, String> {
        let content = match self.folder.read(name).map_err(|error| error.to_string())? {
            Found::Nothing => return Ok(None),
            Found::File(content) => content,
            Found::Refused(why) => return Err(why.to_owned()),
        };
        let verified = Verified::new(&content, key)?;
        trusted::module(engine, &verified).map(Some).map_err(|error| format!("{error:#}"))
    }

    fn key(&self, bytes: &[u8]) -> Digest {
        let mut hashing = Hashing::new();
        hashing.bytes(self.engine.as_bytes());
        hashing.bytes(Digest::of(&[bytes]).as_bytes());
        hashing.done()
    }
}

#[cfg(test)]
mod tests;
