//! What each hook takes and gives, in one table.
//! It reads no code of an author's and writes none.

use proc_macro2::TokenStream;
use quote::quote;
use tidegate_abi::Hook;

/// What a hook is handed, besides the plugin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// `configure`, which is read on its own.
    Config,
    /// Nothing.
    Nothing,
    /// Perhaps a [`Background`](Subject::name).
    Background,
    Exchange,
    /// The exchange, then a piece of a body.
    Body,
    Connection,
    LimitDecision,
    BreakerTransition,
}

/// What a hook decides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// Whether the plugin is configured.
    Plugin,
    /// Bytes for the next instance.
    State,
    /// Nothing, and its errors are only logged.
    Note,
    /// Nothing.
    Done,
    /// How the exchange goes on.
    Flow,
    /// Whether a connection may stay.
    Admission,
}

/// The shape of a hook.
pub(crate) fn shape(hook: Hook) -> (Subject, Gives) {
    match hook {
        Hook::Configure => (Subject::Config, Gives::Plugin),
        Hook::HandOver => (Subject::Nothing, Gives::State),
        Hook::Tick => (Subject::Background, Gives::Done),
        Hook::ConnectionOpen => (Subject::Connection, Gives::Admission),
        Hook::ConnectionClose => (Subject::Connection, Gives::Done),
        Hook::RequestBody | Hook::ResponseBody => (Subject::Body, Gives::Flow),
        Hook::RequestHead
        | Hook::RequestTrailers
        | Hook::UpstreamChosen
        | Hook::UpstreamError
        | Hook::Retry
        | Hook::ResponseHead => (Subject::Exchange, Gives::Flow),
        Hook::ResponseTrailers => (Subject::Exchange, Gives::Done),
        Hook::Log => (Subject::Exchange, Gives::Note),
        Hook::LimitDecision => (Subject::LimitDecision, Gives::Done),
        Hook::BreakerTransition => (Subject::BreakerTransition, Gives::Done),
    }
}

/// Why a hook cannot be `async`, if it cannot.
pub(crate) fn not_async(hook: Hook) -> Option<&'static str> {
    match hook {
        Hook::Configure => Some("a plugin is configured at once, before it serves anything"),
        Hook::HandOver => Some("the next instance waits for what it hands over"),
        Hook::Log => Some("the exchange is over, and its record leaves with the end of the hook"),
        _ => None,
    }
}

impl Subject {
    /// The type in the SDK of the first parameter, and how to write it.
    pub const fn name(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Config | Self::Nothing => None,
            Self::Background => Some(("Background", "background: &Background")),
            Self::Exchange | Self::Body => Some(("Exchange", "exchange: &Exchange")),
            Self::Connection => Some(("Connection", "connection: &Connection")),
            Self::LimitDecision => Some(("LimitDecision", "decision: &LimitDecision")),
            Self::BreakerTransition => Some(("BreakerTransition", "transition: &BreakerTransition")),
        }
    }

    /// Whether the hook belongs to an exchange, whose state it may take.
    pub const fn has_state(self) -> bool {
        matches!(self, Self::Exchange | Self::Body)
    }

    /// The values of the parameters, when all are taken.
    pub fn arguments(self) -> TokenStream {
        match self {
            Self::Config | Self::Nothing => TokenStream::new(),
            Self::Background => quote! { &mut ::tidegate_sdk::__private::background() },
            Self::Exchange => quote! { &mut ::tidegate_sdk::__private::exchange() },
            Self::Body => quote! { &mut ::tidegate_sdk::__private::exchange(), &mut ::tidegate_sdk::__private::body() },
            Self::Connection => quote! { &mut ::tidegate_sdk::__private::connection() },
            Self::LimitDecision => quote! { &mut ::tidegate_sdk::__private::limit_decision() },
            Self::BreakerTransition => quote! { &mut ::tidegate_sdk::__private::breaker_transition() },
        }
    }
}

impl Gives {
    /// The function that turns a hook's result into a verdict, and refuses types that a hook cannot return.
    pub fn verdict(self) -> TokenStream {
        match self {
            Self::Plugin => quote! { configured },
            Self::State => quote! { handed },
            Self::Note => quote! { noted },
            Self::Done => quote! { done },
            Self::Flow => quote! { flow },
            Self::Admission => quote! { admission },
        }
    }
}
