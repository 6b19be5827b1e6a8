//! Rate limits: keys, quotas, decisions.
//! It chooses no status code.

pub mod config;
