//! Sandboxed plugins: one contract, and the adapters that fulfil it.
//! It knows neither routes nor upstreams nor hyper.

pub mod config;
pub mod contract;
