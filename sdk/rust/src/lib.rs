//! Write plugins for Tidegate in Rust: metrics with labels, spans, log fields, headers and replies, at the hooks of an exchange.
//! It knows the ABI and nothing of the proxy.
//!
//! ```
//! use tidegate_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Config { tenants: Vec<String> }
//!
//! struct Checkout { tenants: LabelSet, requests: Counter<1> }
//!
//! #[plugin]
//! impl Checkout {
//!     fn configure(config: Config, define: &mut Define) -> Result<Self> {
//!         Ok(Self {
//!             tenants: define.label_set("tenant", config.tenants)?,
//!             requests: define.counter("checkout.requests").unit("{request}").labels(["tenant"]).build()?,
//!         })
//!     }
//!
//!     fn log(&self, exchange: &Exchange) {
//!         let tenant = self.tenants.get(exchange.request_header("x-tenant"));
//!         self.requests.add(1, [tenant]);
//!         exchange.log_field("tenant", tenant);
//!     }
//! }
//! # fn main() {
//! use tidegate_sdk::test::TestHost;
//!
//! let mut host = TestHost::configure::<Checkout>(json!({ "tenants": ["acme"] })).unwrap();
//! let exchange = host.exchange().get("/").header("x-tenant", "acme").respond(200);
//! assert_eq!(host.counter("checkout.requests", [("tenant", "acme")]), 1);
//! assert_eq!(exchange.log_field("tenant"), "acme");
//! # }
//! ```
//!
//! [`plugin`] says which hooks there are and what they may look like. The guide, `docs/plugin-guide.md`,
//! leads from nothing to a loaded plugin.
#![warn(missing_docs)]

mod plugin;
mod define;
mod config;
mod exchange;
mod headers;
mod span;
mod metric;
mod label;
mod value;
mod reply;
mod bytes;
mod error;
pub mod log;

mod ffi;
#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
pub mod test;

pub use bytes::Bytes;
pub use define::{Builder, Define};
pub use error::{Error, Refused, Result};
pub use exchange::Exchange;
pub use headers::Headers;
pub use label::{Label, LabelSet, Lookup};
pub use metric::{Amount, Counter, Gauge, Histogram};
pub use plugin::{IntoDone, IntoFlow, Plugin};
pub use reply::{Flow, Reply};
pub use serde_json::json;
pub use span::Span;
pub use tidegate_abi::{Hook, Level, SpanStatus};
pub use tidegate_macros::plugin;
pub use value::Value;

/// Everything a plugin usually needs, its tests included: `use tidegate_sdk::prelude::*;`.
pub mod prelude {
    #[cfg(not(target_family = "wasm"))]
    pub use crate::test::TestHost;
    pub use crate::{
        Bytes, Counter, Define, Error, Exchange, Flow, Gauge, Headers, Histogram, Label, LabelSet, Refused, Reply,
        Result, Span, SpanStatus, Value, debug, error, info, json, plugin, warn,
    };
    pub use serde::{Deserialize, Serialize};
    pub use std::time::Duration;
}

/// The snippets of the plugin guide, which are tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/plugin-guide.md")]
pub struct PluginGuide;

/// What `#[plugin]` refuses.
///
/// This one is right; each of the others differs from it in one thing.
///
/// ```
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn log(&self, _exchange: &Exchange) {}
/// }
/// # fn main() {}
/// ```
///
/// An `async` hook.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     async fn log(&self, _exchange: &Exchange) {}
/// }
/// # fn main() {}
/// ```
///
/// No `configure`.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn log(&self, _exchange: &Exchange) {}
/// }
/// # fn main() {}
/// ```
///
/// A hook without `self`.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn log(_exchange: &Exchange) {}
/// }
/// # fn main() {}
/// ```
///
/// A name that is almost a hook's.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn on_request(&self, _exchange: &Exchange) {}
/// }
/// # fn main() {}
/// ```
///
/// A result that the hook cannot have.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn log(&self, exchange: &Exchange) -> Flow { exchange.reply(Reply::new(403)) }
/// }
/// # fn main() {}
/// ```
///
/// Two states.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn request_head(&self, _exchange: &Exchange, _state: &mut u32) {}
///     fn log(&self, _exchange: &Exchange, _state: &mut String) {}
/// }
/// # fn main() {}
/// ```
///
/// A wrong number of labels.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// fn count(counter: Counter<2>, label: Label) { counter.add(1, [label]) }
/// # fn main() {}
/// ```
#[cfg(doctest)]
pub struct Refusals;

/// What `#[plugin]` writes calls this. Not for authors.
#[doc(hidden)]
pub mod __private {
    pub use crate::config::read as config;
    pub use crate::plugin::{Instance, configured, done, flow};
}
