//! The small language of the integration tests: `proxy().origin(&origin).start()`, origins that misbehave, clients, a collector.
//! It sees only what a user sees (files, sockets, process output) and knows nothing of the proxy's inside.
//!
//! Origins and collectors live on threads of their own, so a test may block as it likes. Nothing here sleeps for a fixed
//! time: see [`eventually`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// What a failing test says of the proxy goes to standard error.
#![allow(clippy::print_stderr)]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate)]

mod binary;
mod black_hole;
mod body;
mod certificates;
mod client;
mod eventually;
mod guest;
mod origin;
mod otlp;
mod plugin;
mod process;
mod proxy;
mod raw;
mod raw_origin;
mod scrape;
mod scratch;
mod websocket;

pub use binary::{tidegate, workspace};
pub use black_hole::BlackHole;
pub use body::{Body, Feed};
pub use certificates::{Authority, Identity};
pub use client::{Answer, Connection, get, request};
pub use eventually::{PATIENCE, eventually, eventually_some};
pub use guest::{Guest, SCRATCH};
pub use origin::{Origin, OriginBuilder, Seen, origin};
pub use otlp::{Collector, CollectorMode, Point, Span, collector};
pub use plugin::{Generation, generation, wasm};
pub use process::{Finished, raise_descriptors, resident_bytes, run};
pub use proxy::{Proxy, ProxyBuilder, proxy};
pub use raw::{RawConnection, RawMessage, nowhere, raw};
pub use raw_origin::{RawOrigin, raw_origin};
pub use scrape::{Metrics, Sample};
pub use scratch::Scratch;
pub use websocket::{WebSocket, websocket, websocket_over_tls};
