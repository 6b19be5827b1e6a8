//! The proxy as its users meet it: the built binary, real sockets, real files. One module for each part of the promise.
//! Nothing here knows the inside of the proxy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

mod main_job;

mod bodies;
mod forwarding;
mod http1;
mod http2;
mod interim;
mod malformed;
mod smuggling;
mod tls;

mod failures;
mod routes;
mod slow_clients;
mod timeouts;
mod upstreams;
mod wasm_target;
mod websockets;

mod breaker;
mod limits;

mod allowed;
mod contract;
mod hostile;
mod plugin_auth;
mod plugin_bodies;
mod plugin_body_metrics;
mod plugin_connections;
mod plugin_ends;
mod plugin_events;
mod plugin_routing;
mod plugin_waiting;
mod plugins;

mod access_log;
mod correlation;
mod metrics;
mod otlp;
mod propagation;

mod admin;
mod cli;
mod generations;
mod module_cache;
mod reload;
mod reload_soak;
mod shutdown;

mod documents;
mod house;
mod invariants;
