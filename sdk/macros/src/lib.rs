//! The `#[plugin]` attribute: from the hooks of an impl block to the exports of a module.
//! It knows the names of hooks and exports, and nothing of what they do.

use proc_macro::TokenStream;
use quote::quote;

mod expand;
mod hooks;
mod shape;

/// Makes the type of an impl block a plugin: each hook that stands in the block is exported, and nothing else.
///
/// | Hook | When | Takes, after `&self` | Returns | `async` |
/// | --- | --- | --- | --- | --- |
/// | `configure` | once for each instance | no `self`, but `config: C, define: &mut Define`, where `C: Deserialize` | `Result<Self>` | no |
/// | `hand_over` | a newer instance takes over | | bytes, text, or an `Option` or `Result` of them | no |
/// | `tick` | at the interval of `define.tick_every(..)` | perhaps `background: &Background` | nothing | yes |
/// | `connection_open` | a client has connected | `connection: &Connection` | nothing, or `Admission` | yes |
/// | `request_head` | the request's head is there | `exchange: &Exchange` | nothing, `Flow` or `Reply` | yes |
/// | `request_body` | a piece of the request's body is there | `exchange: &Exchange, body: &mut Body` | nothing, `Flow` or `Reply` | yes |
/// | `request_trailers` | the request's trailers are there | `exchange: &Exchange` | nothing, `Flow` or `Reply` | yes |
/// | `upstream_chosen` | an endpoint was picked, before each attempt | `exchange: &Exchange` | nothing, `Flow` or `Reply` | yes |
/// | `upstream_error` | an attempt failed | `exchange: &Exchange` | nothing, `Flow` or `Reply` | yes |
/// | `retry` | before an attempt that is not the first | `exchange: &Exchange` | nothing, `Flow` or `Reply` | yes |
/// | `response_head` | the response's head is there | `exchange: &Exchange` | nothing, `Flow` or `Reply` | yes |
/// | `response_body` | a piece of the response's body is there | `exchange: &Exchange, body: &mut Body` | nothing, `Flow` or `Reply` | yes |
/// | `response_trailers` | the response's trailers are there | `exchange: &Exchange` | nothing | yes |
/// | `log` | the exchange is over | `exchange: &Exchange` | nothing | no |
/// | `connection_close` | a connection is closed, and its last exchange over | `connection: &Connection` | nothing | yes |
/// | `limit_decision` | a rate limit has decided, a while ago | `decision: &LimitDecision` | nothing | yes |
/// | `breaker_transition` | a breaker has changed, a while ago | `transition: &BreakerTransition` | nothing | yes |
///
/// `configure` must be there; the others are up to you. What a hook returns may also be a `Result` of it, with any error; an error
/// fails the plugin for this call, and its `on_failure` decides what that means.
///
/// A hook takes `&self` or `&mut self`, and what it is about as `&` or `&mut`. The hooks of an exchange may take one more parameter,
/// `state: &mut S` with any `S: Default`: it begins as the default, is handed to every hook of the same exchange that asks for it, and
/// is dropped after the exchange.
///
/// An `async` hook may await `call_out` and `sleep`, and what is made of them with `join` and `join_all`; other futures have nothing here
/// that wakes them, and fail the hook. While one waits, the instance serves other exchanges, so a plugin with an `async` hook takes
/// `&self` in all of them. A hook whose client leaves is dropped where it waits. A hook without `async` costs no allocation.
///
/// Other functions and constants of the block are left as they are.
///
/// What is written wrong is refused where it stands: the tests of the SDK hold examples.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match expand::plugin(&arguments.into(), &item.clone().into()) {
        Ok(expanded) => expanded.into(),
        Err(error) => {
            // The block stays, so that nothing else seems to be missing too.
            let (error, item) = (error.into_compile_error(), proc_macro2::TokenStream::from(item));
            quote! { #item #error }.into()
        }
    }
}
