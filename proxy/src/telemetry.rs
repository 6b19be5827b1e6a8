//! One record per exchange and its outputs: metrics, access log line and spans; exporters run on threads of their own.
//! It never blocks a worker and knows no stage of the exchange.

pub mod config;
pub mod metrics;
pub mod record;
pub mod trace_context;
