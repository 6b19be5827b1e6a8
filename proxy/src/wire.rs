//! HTTP as bytes: the strict head check, header hygiene, the one body type, answers of our own.
//! It decides no policy.

pub mod server;
pub mod reply;
pub mod upgrade;
pub mod interim;
pub mod headers;
pub mod body;
pub mod client;
pub mod guard;
mod h2_check;
mod joined;
pub mod local_exec;
pub mod clock;
pub mod config;
