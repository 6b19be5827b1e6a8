//! What hooks are about that run outside of an exchange: a connection, an event, or the time that has passed.
//! They have no headers, no log fields and no spans.

use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_abi::{Number, Text};

use crate::exchange::{count, text};
use crate::{Answer, Bytes, CallOut, CallOutError, Refused, call_out, wait};

/// What `tick` runs for: nothing but the time.
#[derive(Debug)]
pub struct Background {
    here: PhantomData<*const ()>,
}

/// A client's connection. Only `connection_open` and `connection_close` have one, on listeners whose `plugins` name the plugin.
#[derive(Debug)]
pub struct Connection {
    here: PhantomData<*const ()>,
}

/// What `connection_open` decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// The connection may stay.
    #[default]
    Accept,
    /// It is closed, without an answer.
    Close,
}

/// What a rate limit decided for a request, a few milliseconds ago. The exchange may be over by now.
#[derive(Debug)]
pub struct LimitDecision {
    here: PhantomData<*const ()>,
}

/// What a breaker did, a few milliseconds ago.
#[derive(Debug)]
pub struct BreakerTransition {
    here: PhantomData<*const ()>,
}

macro_rules! outside {
    ($($name:ident)*) => {$(
        impl $name {
            pub(crate) const fn new() -> Self {
                Self { here: PhantomData }
            }

            /// Sends a request to an upstream, and waits for its answer; only in an `async` hook.
            ///
            /// # Errors
            /// When it was refused, or no answer came.
            pub async fn call_out(&self, call_out: CallOut) -> Result<Answer, CallOutError> {
                call_out::call_out(call_out).await
            }

            /// Waits: for whole milliseconds, rounded up, at most one hour; only in an `async` hook.
            ///
            /// # Errors
            /// When it is longer than that, or too many hooks of the plugin wait ([`Refused::Budget`]).
            pub async fn sleep(&self, duration: Duration) -> Result<(), Refused> {
                wait::sleep(duration).await
            }
        }
    )*};
}

outside! { Background Connection LimitDecision BreakerTransition }

// === impl Connection ===

impl Connection {
    /// The listener's name.
    pub fn listener(&self) -> Bytes {
        text(Text::Listener).unwrap_or_else(Bytes::empty)
    }

    /// The address of whoever is connected: of a proxy before us, if there is one.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        text(Text::PeerAddress)?.to_str()?.parse().ok()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> Bytes {
        text(Text::Scheme).unwrap_or_else(Bytes::empty)
    }

    /// How long the connection is open so far; in `connection_close`, in all.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(count(Number::Duration))
    }

    /// When it was opened.
    pub fn opened_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(count(Number::StartTime))
    }

    /// Exchanges that it has carried.
    pub fn exchanges(&self) -> u64 {
        count(Number::ConnectionExchanges)
    }
}

// === impl LimitDecision ===

impl LimitDecision {
    /// The limit's name.
    pub fn limit(&self) -> Bytes {
        text(Text::Limit).unwrap_or_else(Bytes::empty)
    }

    /// Whether the request could pass; if not, it was answered with 429.
    pub fn is_allowed(&self) -> bool {
        text(Text::Decision).is_some_and(|decision| decision == "allowed")
    }

    /// `allowed` or `limited`, for a label.
    pub fn decision(&self) -> Bytes {
        text(Text::Decision).unwrap_or_else(Bytes::empty)
    }

    /// The name of the request's route.
    pub fn route(&self) -> Bytes {
        text(Text::Route).unwrap_or_else(Bytes::empty)
    }

    /// The client's address, after trusted proxies.
    pub fn client_address(&self) -> Option<IpAddr> {
        text(Text::ClientAddress)?.to_str()?.parse().ok()
    }

    /// When it was decided.
    pub fn at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(count(Number::StartTime))
    }

    /// Events that were lost for this plugin since the one before, because it was slower than they came.
    pub fn lost(&self) -> u64 {
        count(Number::EventsLost)
    }
}

// === impl BreakerTransition ===

impl BreakerTransition {
    /// The upstream's name.
    pub fn upstream(&self) -> Bytes {
        text(Text::Upstream).unwrap_or_else(Bytes::empty)
    }

    /// What the breaker is now: `closed`, `half_open` or `open`.
    pub fn state(&self) -> Bytes {
        text(Text::BreakerState).unwrap_or_else(Bytes::empty)
    }

    /// When it changed.
    pub fn at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(count(Number::StartTime))
    }

    /// Events that were lost for this plugin since the one before, because it was slower than they came.
    pub fn lost(&self) -> u64 {
        count(Number::EventsLost)
    }
}
