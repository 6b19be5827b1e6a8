//! From the text a user wrote to a checked configuration: read, substitute, validate, check.
//! It neither compiles nor opens anything that the text names.

pub mod model;

pub use model::Config;
