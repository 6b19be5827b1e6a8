//! The services behind us: endpoints, balance, connections, breaker.
//! It never decides to retry, and knows no plugin.

pub mod config;
