//! The proxy as its users meet it: the built binary, real sockets, real files. One module for each part of the promise.
//! Nothing here knows the inside of the proxy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;
