//! HTTP as bytes: the strict head check, header hygiene, the one body type, answers of our own.
//! It decides no policy.

pub mod config;
