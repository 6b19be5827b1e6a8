//! The circuit breaker of an upstream: closed, open, half open.
//! It does not know what a request is; whoever asked tells it what became of the permit.
//!
//! What counts as a failure is decided where the permit is settled: a connection that failed, a timeout, an answer that was none, and
//! every 5xx status. A 4xx is the client's doing and counts as a success; an exchange that ended before the upstream
//! could answer, because the client left or a plugin answered, counts as neither.

pub mod transitions;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::config;

/// Hears of every event, in order; called while the breaker is locked, so it must be quick.
pub type Observer = Box<dyn Fn(Event) + Send + Sync>;

/// What a breaker does that is worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Entered(State),
    /// A request was not let through.
    Refused,
}

/// A breaker, shared by all workers.
///
/// This is a declared exception to "nothing shared on the request path": workers must agree on what an upstream can take. A closed
/// breaker costs a success two atomic loads and no store; only failures, and everything while it is not closed, take the lock.
pub struct Breaker<C: Clock = MonotonicClock> {
    config: config::Breaker,
    clock: C,
    /// `epoch << 2 | state`. The epoch counts transitions: a permit of an earlier epoch says nothing about this one.
    word: AtomicU64,
    /// Failures since the last success, while closed.
    failures: AtomicU32,
    slow: Mutex<Slow<C>>,
    observer: Observer,
}

/// What only changes under the lock.
struct Slow<C: Clock> {
    budget: Option<Budget<C>>,
    opened: C::Instant,
    /// Probes that were let through and have not failed nor been given back.
    probes: u32,
    succeeded: u32,
}

type Budget<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Whether requests may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Closed,
    HalfOpen,
    Open,
}

/// The answer to a request that wants to pass.
#[derive(Debug)]
pub enum Admission<'a, C: Clock + Clone = MonotonicClock> {
    Pass(Permit<'a, C>),
    Open { retry_after: Duration },
}

/// A request that may pass; settle it with what became of it. Dropped unsettled, it counts as neither success nor failure.
#[must_use = "say what became of the request"]
pub struct Permit<'a, C: Clock + Clone = MonotonicClock> {
    breaker: &'a Breaker<C>,
    epoch: u64,
    probe: bool,
    settled: bool,
}

// === impl State ===

impl State {
    /// The value of the `to` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }

    /// The value of the gauge.
    pub const fn as_f64(self) -> f64 {
        match self {
            Self::Closed => 0.0,
            Self::HalfOpen => 0.5,
            Self::Open => 1.0,
        }
    }

    const fn bits(self) -> u64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }

    const fn of(word: u64) -> Self {
        match word & 3 {
            0 => Self::Closed,
            1 => Self::HalfOpen,
            _ => Self::Open,
        }
    }
}

// === impl Breaker ===

impl<C: Clock + Clone> Breaker<C> {
    /// A closed breaker.
    pub fn new(config: config::Breaker, clock: C, observer: Observer) -> Self {
        let slow = Slow { budget: budget(config.failure_budget, &clock), opened: clock.now(), probes: 0, succeeded: 0 };
        Self { config, clock, word: AtomicU64::new(0), failures: AtomicU32::new(0), slow: Mutex::new(slow), observer }
    }

    /// Whether requests may pass now. An open breaker whose time is over is open until somebody asks to pass, or calls [`Breaker::tick`].
    pub fn state(&self) -> State {
        State::of(self.word.load(Ordering::Acquire))
    }

    /// Takes note that the time of an open breaker is over, so that what is said of it is right although nobody asks to pass. Call it every
    /// second or so.
    pub fn tick(&self) {
        if self.state() == State::Open {
            let mut slow = self.lock();
            if self.state() == State::Open && self.left(&slow).is_none() {
                self.half_open(&mut slow);
            }
        }
    }

    /// Asks to pass.
    pub fn admit(&self) -> Admission<'_, C> {
        let word = self.word.load(Ordering::Acquire);
        if State::of(word) == State::Closed {
            return self.pass(word);
        }
        let mut slow = self.lock();
        // Only changes under the lock, so it stays as it is from here on.
        let word = self.word.load(Ordering::Acquire);
        match State::of(word) {
            State::Closed => self.pass(word),
            State::HalfOpen => self.probe(&mut slow, word),
            State::Open => match self.left(&slow) {
                Some(left) => self.refuse(left),
                None => {
                    let word = self.half_open(&mut slow);
                    self.probe(&mut slow, word)
                }
            },
        }
    }

    /// How long it stays open.
    fn left(&self, slow: &Slow<C>) -> Option<Duration> {
        let elapsed: Duration = self.clock.now().duration_since(slow.opened).into();
        self.config.open_for.checked_sub(elapsed).filter(|left| !left.is_zero())
    }

    fn half_open(&self, slow: &mut Slow<C>) -> u64 {
        slow.probes = 0;
        slow.succeeded = 0;
        self.enter(State::HalfOpen)
    }

    fn pass(&self, word: u64) -> Admission<'_, C> {
        let probe = State::of(word) == State::HalfOpen;
        Admission::Pass(Permit { breaker: self, epoch: word >> 2, probe, settled: false })
    }

    fn probe(&self, slow: &mut Slow<C>, word: u64) -> Admission<'_, C> {
        if slow.probes < self.config.probes.get() {
            slow.probes += 1;
            return self.pass(word);
        }
        // The probes under way decide; nobody knows when, so the shortest wait that can be said.
        self.refuse(Duration::from_secs(1))
    }

    fn refuse(&self, retry_after: Duration) -> Admission<'_, C> {
        (self.observer)(Event::Refused);
        Admission::Open { retry_after }
    }

    fn succeeded(&self, epoch: u64) {
        let word = self.word.load(Ordering::Acquire);
        if word >> 2 != epoch {
            return;
        }
        match State::of(word) {
            State::Closed => {
                // Not stored each time: the line stays shared between the cores.
                if self.failures.load(Ordering::Relaxed) != 0 {
                    self.failures.store(0, Ordering::Relaxed);
                }
            }
            State::HalfOpen => {
                let mut slow = self.lock();
                if self.is_current(epoch) {
                    slow.succeeded += 1;
                    if slow.succeeded >= self.config.probes.get() {
                        slow.budget = budget(self.config.failure_budget, &self.clock);
                        self.failures.store(0, Ordering::Relaxed);
                        self.enter(State::Closed);
                    }
                }
            }
            State::Open => {}
        }
    }

    fn failed(&self, epoch: u64) {
        let mut slow = self.lock();
        if !self.is_current(epoch) {
            return;
        }
        let trips = match self.state() {
            State::Open => false,
            State::HalfOpen => true,
            State::Closed => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                let in_a_row = self.config.consecutive_failures.is_some_and(|limit| failures >= limit.get());
                // Asked for every failure, so that the budget sees them all.
                let over_budget = slow.budget.as_ref().is_some_and(|budget| budget.check().is_err());
                in_a_row || over_budget
            }
        };
        if trips {
            slow.opened = self.clock.now();
            self.enter(State::Open);
        }
    }

    /// A probe that came to nothing makes room for another.
    fn ignored(&self, epoch: u64) {
        if self.state() == State::HalfOpen {
            let mut slow = self.lock();
            if self.is_current(epoch) {
                slow.probes = slow.probes.saturating_sub(1);
            }
        }
    }

    fn is_current(&self, epoch: u64) -> bool {
        self.word.load(Ordering::Acquire) >> 2 == epoch
    }

    /// Goes to another state; only under the lock.
    fn enter(&self, state: State) -> u64 {
        let epoch = (self.word.load(Ordering::Acquire) >> 2).wrapping_add(1);
        let word = epoch << 2 | state.bits();
        self.word.store(word, Ordering::Release);
        (self.observer)(Event::Entered(state));
        word
    }

    fn lock(&self) -> MutexGuard<'_, Slow<C>> {
        // Nothing in here panics half-way; the state would be whole even then.
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Clock + Clone> fmt::Debug for Breaker<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("config", &self.config).field("state", &self.state()).finish_non_exhaustive()
    }
}

fn budget<C: Clock + Clone>(quota: Option<Quota>, clock: &C) -> Option<Budget<C>> {
    quota.map(|quota| RateLimiter::direct_with_clock(quota, clock.clone()))
}

// === impl Permit ===

impl<C: Clock + Clone> Permit<'_, C> {
    /// Whether this is one of the few that try out an upstream that had failed.
    pub const fn is_probe(&self) -> bool {
        self.probe
    }

    /// The upstream answered.
    pub fn succeed(mut self) {
        self.settled = true;
        self.breaker.succeeded(self.epoch);
    }

    /// The upstream failed.
    pub fn fail(mut self) {
        self.settled = true;
        self.breaker.failed(self.epoch);
    }

    /// The upstream answered with this status; 5xx is a failure.
    pub fn settle(self, status: http::StatusCode) {
        if status.is_server_error() { self.fail() } else { self.succeed() }
    }
}

impl<C: Clock + Clone> Drop for Permit<'_, C> {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.ignored(self.epoch);
        }
    }
}

impl<C: Clock + Clone> fmt::Debug for Permit<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
