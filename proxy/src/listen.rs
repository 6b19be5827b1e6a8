//! Sockets that clients connect to: binding, accepting, TLS.
//! It knows no HTTP.

pub mod config;
