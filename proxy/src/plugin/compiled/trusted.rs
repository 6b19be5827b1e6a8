//! The only `unsafe` of the proxy: making a module of machine code that was read from a file.
//! It trusts what `entry` has verified, and knows neither file nor folder.
#![allow(unsafe_code, reason = "wasmtime cannot check machine code; why it can be trusted stands below")]

use wasmtime::{Engine, Module};

use super::entry::Verified;

/// The module.
///
/// # Errors
/// When wasmtime sees that it is not for this engine.
pub(super) fn module(engine: &Engine, verified: &Verified<'_>) -> wasmtime::Result<Module> {
    // SAFETY: wasmtime demands that the bytes come from its own `serialize`, unchanged. They were written by a process of this user
    // (or of root) into a folder and a file that nobody else can write to (`folder`), begin as only our files do, name the module,
    // wasmtime's version, its settings and the processor that they were compiled for, and are, by their SHA-256, all that was
    // written (`entry`). They are in memory and ours alone: nothing can change them between the check and now. Whoever can forge all
    // that is this user already, and could as well replace the proxy.
    unsafe { Module::deserialize(engine, verified.artifact()) }
}
