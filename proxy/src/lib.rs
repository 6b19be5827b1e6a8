//! Tidegate, an edge proxy that shows what flows through it.
//!
//! The modules stand in reading order; each uses only modules listed below it, and the leaf rooms
//! (`plugin` to `listen`) never use each other.

pub mod cli;

pub mod supervisor;
pub mod admin;
pub mod worker;
pub mod exchange;
pub mod websocket;
pub mod view;
pub mod snapshot;
pub mod vitals;

pub mod config;

pub mod plugin;
pub mod upstream;
pub mod limit;
pub mod route;
pub mod listen;

pub mod wire;
pub mod telemetry;
pub mod error;
pub mod moment;
