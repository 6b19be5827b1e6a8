//! Connections and events of a test.
//! They touch no exchange.

use std::time::Duration;

use tidegate_abi::{Hook, Number, Text, Verdict};

use super::memory::Aside;
use super::{Ended, TestHost};

/// A connection that is being described. What is not said is as of a client at 203.0.113.9 that spoke HTTP and left at once.
#[must_use = "a connection happens with `close`"]
pub struct TestConnection<'h> {
    host: &'h mut TestHost,
    peer: String,
    listener: String,
    scheme: &'static str,
    exchanges: u32,
    duration: Duration,
}

/// What a rate limit decided.
#[derive(Clone, Copy, Debug)]
pub struct TestDecision<'a> {
    /// The limit's name.
    pub limit: &'a str,
    /// Whether the request could pass.
    pub allowed: bool,
    /// The name of the request's route.
    pub route: &'a str,
    /// The client's address.
    pub client: &'a str,
    /// Events that were lost before this one.
    pub lost: u32,
}

/// What a breaker did.
#[derive(Clone, Copy, Debug)]
pub struct TestTransition<'a> {
    /// The upstream's name.
    pub upstream: &'a str,
    /// `closed`, `half_open` or `open`.
    pub state: &'a str,
    /// Events that were lost before this one.
    pub lost: u32,
}

/// 2026-01-02T03:04:05Z, in nanoseconds.
pub(super) const START: i64 = 1_767_323_045_000_000_000;

impl Default for TestDecision<'_> {
    fn default() -> Self {
        Self { limit: "per-client", allowed: true, route: "app", client: "203.0.113.9", lost: 0 }
    }
}

impl Default for TestTransition<'_> {
    fn default() -> Self {
        Self { upstream: "app", state: "open", lost: 0 }
    }
}

// === impl TestHost ===

impl TestHost {
    /// Begins a connection: say what it is, then [`TestConnection::close`].
    pub fn connection(&mut self) -> TestConnection<'_> {
        TestConnection {
            host: self,
            peer: "203.0.113.9:40000".to_owned(),
            listener: "test".to_owned(),
            scheme: "http",
            exchanges: 0,
            duration: Duration::ZERO,
        }
    }

    /// Tells the plugin of a rate limit's decision. Returns why the hook failed, if it did.
    pub fn limit_decision(&mut self, decision: TestDecision<'_>) -> Option<String> {
        let TestDecision { limit, allowed, route, client, lost } = decision;
        let texts = [
            (Text::Limit, limit),
            (Text::Decision, if allowed { "allowed" } else { "limited" }),
            (Text::Route, route),
            (Text::ClientAddress, client),
        ];
        self.outside(Hook::LimitDecision, aside(texts, [(Number::StartTime, START), (Number::EventsLost, lost.into())]))
    }

    /// Tells the plugin of a breaker's new state. Returns why the hook failed, if it did.
    pub fn breaker_transition(&mut self, transition: TestTransition<'_>) -> Option<String> {
        let TestTransition { upstream, state, lost } = transition;
        let texts = [(Text::Upstream, upstream), (Text::BreakerState, state)];
        let numbers = [(Number::StartTime, START), (Number::EventsLost, lost.into())];
        self.outside(Hook::BreakerTransition, aside(texts, numbers))
    }
}

fn aside<const T: usize, const N: usize>(texts: [(Text, &str); T], numbers: [(Number, i64); N]) -> Aside {
    Aside { texts: texts.map(|(text, value)| (text, value.into())).into(), numbers: numbers.into() }
}

// === impl TestConnection ===

impl TestConnection<'_> {
    /// The peer, `address:port`.
    pub fn peer(mut self, address: &str) -> Self {
        address.clone_into(&mut self.peer);
        self
    }

    /// The listener's name.
    pub fn listener(mut self, name: &str) -> Self {
        name.clone_into(&mut self.listener);
        self
    }

    /// It speaks TLS.
    pub const fn https(mut self) -> Self {
        self.scheme = "https";
        self
    }

    /// How many exchanges it carries, and how long it lasts.
    pub const fn carries(mut self, exchanges: u32, duration: Duration) -> Self {
        self.exchanges = exchanges;
        self.duration = duration;
        self
    }

    /// Opens it, and closes it if the plugin did not. Returns whether it could stay; a hook that failed lets it.
    pub fn close(self) -> bool {
        let facts = |exchanges: u32, duration: Duration| {
            let texts = [
                (Text::Listener, &*self.listener),
                (Text::PeerAddress, &*self.peer),
                (Text::ClientAddress, self.peer.rsplit_once(':').map_or("", |(address, _)| address)),
                (Text::Scheme, self.scheme),
            ];
            let duration = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
            let numbers = [
                (Number::StartTime, START),
                (Number::Duration, duration),
                (Number::ConnectionExchanges, exchanges.into()),
            ];
            aside(texts, numbers)
        };
        self.host.memory.borrow_mut().aside = Some(facts(0, Duration::ZERO));
        let opened = self.host.drive(Hook::ConnectionOpen, None);
        let stays = !matches!(opened, Ended::Verdict(verdict) if verdict == Verdict::Close as i32);
        if stays {
            self.host.memory.borrow_mut().aside = Some(facts(self.exchanges, self.duration));
            self.host.drive(Hook::ConnectionClose, None);
        }
        self.host.release();
        self.host.memory.borrow_mut().aside = None;
        stays
    }
}
