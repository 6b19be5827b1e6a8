//! Sandboxed plugins: one contract, and the adapters that fulfil it.
//! It knows neither routes nor upstreams nor hyper.
//!
//! `contract` is the wall: an exchange sees [`Loaded`], [`Instance`] and the contract's types, none of which shows wasmtime.
//! The native ABI is the one adapter so far; a second one makes an enum of what is behind [`Instance`].

pub mod config;
pub mod contract;

pub mod builtin;
mod instance;
mod load;
mod meters;
mod quarantine;
mod running;
mod live;
mod module;
mod reach;
mod host;
mod state;
mod slots;
mod counted;
mod series;
mod store;
mod drops;
mod words;
mod definitions;
mod engine;
mod compiled;
mod error;

pub use compiled::FolderError;
pub use engine::Engine;
pub use error::LoadError;
pub use instance::Instance;
pub use load::{Loaded, Report};

#[cfg(test)]
mod tests;
