//! Which route a request takes: host, path, method and headers; pure.
//! It allocates nothing for a look-up.

pub mod config;
