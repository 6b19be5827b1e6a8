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

// What `#[plugin]` writes names this crate, also in tests of its own.
#[cfg(test)]
extern crate self as tidegate_sdk;

mod plugin;
mod instance;
mod define;
mod config;
mod exchange;
mod outside;
mod body;
mod headers;
mod call_out;
mod wait;
mod store;
mod span;
mod metric;
mod label;
mod value;
mod reply;
mod bytes;
mod error;
pub mod log;
pub mod units;

mod ffi;
#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
pub mod test;

pub use body::{Body, BodyMode};
pub use bytes::Bytes;
pub use call_out::{Answer, CallOut, CallOutError};
pub use define::{Builder, Define};
pub use error::{Error, Refused, Result};
pub use exchange::Exchange;
pub use headers::Headers;
pub use label::{Label, LabelSet, Lookup};
pub use metric::{Amount, Counter, Gauge, Histogram};
pub use outside::{Admission, Background, BreakerTransition, Connection, LimitDecision};
pub use plugin::{IntoAdmission, IntoDone, IntoFlow, IntoState, Plugin};
pub use reply::{Flow, Reply};
pub use serde_json::json;
pub use span::Span;
pub use store::{Store, store};
pub use tidegate_abi::{Hook, Level, SpanStatus};
pub use tidegate_macros::plugin;
pub use value::Value;
pub use wait::{join, join_all};

/// Everything a plugin usually needs, its tests included: `use tidegate_sdk::prelude::*;`.
pub mod prelude {
    #[cfg(not(target_family = "wasm"))]
    pub use crate::test::{TestAnswer, TestHost};
    pub use crate::{
        Admission, Answer, Background, Body, BodyMode, BreakerTransition, Bytes, CallOut, CallOutError, Connection,
        Counter, Define, Error, Exchange, Flow, Gauge, Headers, Histogram, Label, LabelSet, LimitDecision, Refused,
        Reply, Result, Span, SpanStatus, Store, Value, debug, error, info, join, join_all, json, plugin, store, warn,
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
///     async fn request_head(&self, exchange: &Exchange) -> Result<Flow> {
///         exchange.call_out(CallOut::get("users", "/")).await?;
///         Ok(Flow::Continue)
///     }
///     fn response_body(&self, _exchange: &Exchange, _body: &mut Body) {}
///     fn log(&self, _exchange: &Exchange) {}
///     async fn tick(&self, background: &Background) -> Result<()> { Ok(background.sleep(Duration::from_secs(1)).await?) }
///     fn connection_open(&self, _connection: &Connection) -> Admission { Admission::Accept }
///     fn hand_over(&self) -> Vec<u8> { Vec::new() }
/// }
/// # fn main() {}
/// ```
///
/// A hook that cannot be `async`.
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
/// `&mut self` in an `async` hook.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     async fn request_head(&mut self, _exchange: &Exchange) {}
/// }
/// # fn main() {}
/// ```
///
/// `&mut self` beside an `async` hook, which holds the plugin while it waits.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     async fn request_head(&self, _exchange: &Exchange) {}
///     fn log(&mut self, _exchange: &Exchange) {}
/// }
/// # fn main() {}
/// ```
///
/// Waiting in a hook that is not `async`.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn request_head(&self, exchange: &Exchange) -> Result<()> { Ok(exchange.sleep(Duration::from_secs(1)).await?) }
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
/// A body hook without its body.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn request_body(&self, _exchange: &Exchange) {}
/// }
/// # fn main() {}
/// ```
///
/// A body where there is none.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn request_head(&self, _exchange: &Exchange, _state: &mut u32, _body: &mut Body) {}
/// }
/// # fn main() {}
/// ```
///
/// An exchange where there is none.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn connection_open(&self, _exchange: &Exchange) {}
/// }
/// # fn main() {}
/// ```
///
/// A state where there is no exchange.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn connection_close(&self, _connection: &Connection, _state: &mut u32) {}
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
/// A reply to what has gone.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn response_trailers(&self, _exchange: &Exchange) -> Reply { Reply::new(403) }
/// }
/// # fn main() {}
/// ```
///
/// Closing a connection that is closed.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn connection_close(&self, _connection: &Connection) -> Admission { Admission::Close }
/// }
/// # fn main() {}
/// ```
///
/// Something that cannot be handed over.
///
/// ```compile_fail
/// use tidegate_sdk::prelude::*;
/// struct P;
/// #[plugin]
/// impl P {
///     fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> { Ok(Self) }
///     fn hand_over(&self) -> u32 { 7 }
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
    use crate::{Background, Body, BreakerTransition, Connection, Exchange, LimitDecision};

    pub use crate::config::read as config;
    pub use crate::instance::{Alone, Instance, Shared};
    pub use crate::plugin::{CONTINUE, admission, configured, done, flow, handed, noted};

    /// What a hook is about, made where it is called.
    macro_rules! subjects {
        ($($name:ident: $subject:ty,)*) => {$(
            #[inline(always)]
            pub const fn $name() -> $subject {
                <$subject>::new()
            }
        )*};
    }

    subjects! {
        exchange: Exchange,
        body: Body,
        background: Background,
        connection: Connection,
        limit_decision: LimitDecision,
        breaker_transition: BreakerTransition,
    }
}
