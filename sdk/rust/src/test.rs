//! Tests of plugins, with no proxy and no wasm: the same hooks against a host in memory.
//! It does not forward anything; a response is what the test says it is.
//!
//! A test that asks for something that was never defined, or configures in vain, fails with a panic that says so.
#![allow(clippy::panic, reason = "a test says what it expects by panicking")]

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use tidegate_abi::{Hook, Level, MetricKind, Verdict};

use crate::instance::Instance;
use crate::native::within;
use crate::{Error, Plugin, Result};

mod call_out;
mod exchange;
pub(crate) mod memory;
mod outside;
pub(crate) mod platform;
mod request;

pub use call_out::{TestAnswer, TestCallOut};
pub use exchange::{TestExchange, TestSpan};
use memory::Memory;
pub use outside::{TestConnection, TestDecision, TestTransition};
use platform::Platform;
pub use request::TestRequest;

/// Exchanges of a test do not overlap, so one slot serves them all, as the proxy uses slots again.
const SLOT: i32 = 0;

/// A configured plugin and the host it runs on.
pub struct TestHost {
    memory: Rc<RefCell<Memory>>,
    plugin: Box<dyn Hooks>,
    hooks: &'static [Hook],
}

/// A value as a test finds it: compare it with text, numbers, or truth.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Seen {
    /// There is none.
    #[default]
    Absent,
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

/// The observations of one series of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Observations {
    /// How many.
    pub count: u64,
    /// Of all, in the metric's unit.
    pub sum: f64,
    /// Each, in order, in the metric's unit.
    pub values: Vec<f64>,
}

/// Any plugin, as the host calls it.
trait Hooks {
    fn call(&self, hook: Hook, slot: i32) -> i32;
    fn resume(&self, slot: i32, ticket: i32) -> i32;
    fn release(&self, slot: i32);
}

/// How the call of a hook ended.
enum Ended {
    /// The plugin does not have it.
    Absent,
    Verdict(i32),
    /// The client left while it waited.
    Left,
}

// === impl TestHost ===

impl TestHost {
    /// Configures a plugin, as the proxy does when it loads one.
    ///
    /// # Errors
    /// Why the plugin refused its configuration.
    #[allow(clippy::needless_pass_by_value, reason = "a test writes `json!({ .. })`, and nothing around it")]
    pub fn configure<P: Plugin>(config: serde_json::Value) -> Result<Self> {
        Self::start::<P>(config, Memory::default()).map_err(|(why, _)| why)
    }

    /// Lets a new generation take over, as a reload does: what the old one hands over is there when the new one is configured. The
    /// store, the clock and what was logged stay; metrics begin anew.
    ///
    /// # Errors
    /// Why the plugin refused its configuration; then the old generation stays.
    pub fn reconfigure<P: Plugin>(&mut self, config: serde_json::Value) -> Result<()> {
        self.drive(Hook::HandOver, None);
        let mut old = self.memory.borrow_mut();
        let handed = old.platform.handing.take();
        let Platform { now, store, store_budget, denied, upstreams, requests, .. } = std::mem::take(&mut old.platform);
        let platform =
            Platform { now, store, store_budget, denied, upstreams, requests, handed, ..Platform::default() };
        let lines = old.lines.clone();
        drop(old);
        match Self::start::<P>(config, Memory { platform, lines, ..Memory::default() }) {
            Ok(host) => {
                *self = host;
                Ok(())
            }
            Err((why, memory)) => {
                let platform = std::mem::take(&mut memory.borrow_mut().platform);
                self.memory.borrow_mut().platform = platform;
                Err(why)
            }
        }
    }

    #[allow(clippy::needless_pass_by_value, reason = "as `configure`")]
    fn start<P: Plugin>(config: serde_json::Value, memory: Memory) -> Result<Self, (Error, Rc<RefCell<Memory>>)> {
        let memory = Memory { config: config.to_string().into_bytes(), hook: Some(Hook::Configure), ..memory };
        let memory = Rc::new(RefCell::new(memory));
        let plugin = Instance::<P>::new();
        let verdict = within(&memory, || plugin.configure());
        if verdict != Verdict::Continue as i32 {
            let why = memory.borrow_mut().refusal.take();
            return Err((Error::new(why.unwrap_or_else(|| "it gave no reason".to_owned())), memory));
        }
        memory.borrow_mut().hook = None;
        Ok(Self { memory, plugin: Box::new(plugin), hooks: P::HOOKS })
    }

    /// Answers the call-outs to an upstream; without it there is no such upstream. The last one of a name counts.
    pub fn upstream<A: Into<TestAnswer>>(
        &mut self,
        name: &str,
        mut service: impl FnMut(&TestCallOut) -> A + 'static,
    ) -> &mut Self {
        let service = Box::new(move |request: &TestCallOut| service(request).into());
        self.memory.borrow_mut().platform.upstreams.push((name.to_owned(), service));
        self
    }

    /// The call-outs that the plugin made so far.
    pub fn call_outs(&self) -> Vec<TestCallOut> {
        self.memory.borrow().platform.requests.clone()
    }

    /// Moves the host's clock, by which values of the store expire. It does not call `tick`.
    pub fn advance(&mut self, time: Duration) {
        self.memory.borrow_mut().platform.now += time;
    }

    /// How far the host's clock has moved: by [`TestHost::advance`], and by hooks that waited.
    pub fn elapsed(&self) -> Duration {
        self.memory.borrow().platform.now
    }

    /// A value of the plugin's store, if there is one that has not expired.
    pub fn stored(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let memory = self.memory.borrow();
        let stored = memory.platform.store.get(key.as_ref())?;
        stored.until.is_none_or(|until| memory.platform.now < until).then(|| stored.value.clone())
    }

    /// The keys of the plugin's store whose values have not expired, in order.
    pub fn stored_keys(&self) -> Vec<Vec<u8>> {
        let memory = self.memory.borrow();
        let now = memory.platform.now;
        let alive = memory.platform.store.iter().filter(|(_, stored)| stored.until.is_none_or(|until| now < until));
        alive.map(|(key, _)| key.clone()).collect()
    }

    /// Bounds the plugin's store to this many bytes, as `budget.key_value` does.
    pub fn key_value_budget(&mut self, bytes: usize) {
        self.memory.borrow_mut().platform.store_budget = bytes;
    }

    /// Takes something away that the operator can allow, by its name in `allow`. Here these have an effect: `headers`, `reply`,
    /// `read_bodies`, `change_bodies`, `routing`, `key_value` and `call_outs`.
    #[track_caller]
    pub fn deny(&mut self, capability: &str) {
        let known = &platform::CAPABILITIES;
        assert!(known.contains(&capability), "`{capability}` is none of `{}`", known.join("`, `"));
        self.memory.borrow_mut().platform.denied.push(capability.to_owned());
    }

    /// Begins an exchange: say what the request is, then [`TestRequest::respond`].
    pub fn exchange(&mut self) -> TestRequest<'_> {
        TestRequest::new(self)
    }

    /// Calls the tick hook once, to its end. Returns why it failed, if it did.
    pub fn tick(&mut self) -> Option<String> {
        self.outside(Hook::Tick, memory::Aside::default())
    }

    /// Calls the hook by which a newer instance gets to know things. Returns what was handed over.
    pub fn hand_over(&mut self) -> Option<Vec<u8>> {
        self.drive(Hook::HandOver, None);
        self.memory.borrow_mut().platform.handing.take()
    }

    /// How often the plugin wants its tick.
    pub fn tick_interval(&self) -> Option<Duration> {
        self.memory.borrow().tick
    }

    /// The hooks that the plugin has.
    pub const fn hooks(&self) -> &'static [Hook] {
        self.hooks
    }

    /// A counter's series; 0 when nothing was added to it. A fraction is cut off.
    #[track_caller]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count in a test is small and not below 0"
    )]
    pub fn counter<const N: usize>(&self, name: &str, labels: [(&str, &str); N]) -> u64 {
        self.series(MetricKind::Counter, name, &labels).first().copied().unwrap_or_default() as u64
    }

    /// A gauge's series; `None` when it was never set.
    #[track_caller]
    pub fn gauge<const N: usize>(&self, name: &str, labels: [(&str, &str); N]) -> Option<f64> {
        self.series(MetricKind::Gauge, name, &labels).first().copied()
    }

    /// A histogram's series.
    #[track_caller]
    pub fn histogram<const N: usize>(&self, name: &str, labels: [(&str, &str); N]) -> Observations {
        let values = self.series(MetricKind::Histogram, name, &labels);
        Observations { count: values.len() as u64, sum: values.iter().sum(), values }
    }

    /// The lines that the plugin logged, in or out of exchanges.
    pub fn log_lines(&self) -> Vec<(Level, String)> {
        self.memory.borrow().lines.clone()
    }

    #[track_caller]
    fn series(&self, kind: MetricKind, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let series = self.memory.borrow().series(kind, name, labels);
        match series {
            Ok(series) => series,
            Err(why) => panic!("{why}"),
        }
    }

    /// Calls a hook if the plugin has it, and answers what it waits for, until it is done or the time is past `leaves`.
    fn drive(&self, hook: Hook, leaves: Option<Duration>) -> Ended {
        if !self.hooks.contains(&hook) {
            return Ended::Absent;
        }
        self.enter(Some(hook));
        let mut verdict = within(&self.memory, || self.plugin.call(hook, SLOT));
        while verdict == Verdict::Pending as i32 {
            let due = self.memory.borrow().platform.next_due(SLOT);
            if let Some(leaves) = leaves.filter(|&leaves| due.is_some_and(|due| due > leaves)) {
                let mut memory = self.memory.borrow_mut();
                memory.platform.now = leaves;
                memory.platform.cancel(SLOT);
                memory.hook = None;
                return Ended::Left;
            }
            let answered = self.memory.borrow_mut().platform.next_answer(SLOT);
            let Some((ticket, waited)) = answered else { panic!("`{}` is pending without a ticket", hook.name()) };
            self.memory.borrow_mut().wait(waited);
            verdict = within(&self.memory, || self.plugin.resume(SLOT, ticket));
        }
        self.memory.borrow_mut().platform.cancel(SLOT);
        self.enter(None);
        Ended::Verdict(verdict)
    }

    /// Calls a hook that runs outside of an exchange, in a slot of its own. Returns why it failed, if it did.
    fn outside(&mut self, hook: Hook, aside: memory::Aside) -> Option<String> {
        self.memory.borrow_mut().aside = Some(aside);
        let ended = self.drive(hook, None);
        self.release();
        let mut memory = self.memory.borrow_mut();
        memory.aside = None;
        match ended {
            Ended::Verdict(verdict) if verdict == Verdict::Fail as i32 => {
                Some(memory.refusal.take().unwrap_or_else(|| "it gave no reason".to_owned()))
            }
            _ => None,
        }
    }

    fn enter(&self, hook: Option<Hook>) {
        let mut memory = self.memory.borrow_mut();
        memory.hook = hook;
        memory.platform.slot = SLOT;
    }

    fn release(&self) {
        within(&self.memory, || self.plugin.release(SLOT));
    }
}

impl fmt::Debug for TestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestHost").field("hooks", &self.hooks).finish_non_exhaustive()
    }
}

// === impl Seen ===

impl Seen {
    pub(crate) fn text(bytes: &[u8]) -> Self {
        Self::Text(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Whether there is none.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Seen {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Seen {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl PartialEq<&str> for Seen {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}

impl PartialEq<i64> for Seen {
    fn eq(&self, other: &i64) -> bool {
        *self == Self::Int(*other)
    }
}

impl PartialEq<f64> for Seen {
    fn eq(&self, other: &f64) -> bool {
        *self == Self::Float(*other)
    }
}

impl PartialEq<bool> for Seen {
    fn eq(&self, other: &bool) -> bool {
        *self == Self::Bool(*other)
    }
}

// === impl Hooks ===

impl<P: Plugin> Hooks for Instance<P> {
    fn call(&self, hook: Hook, slot: i32) -> i32 {
        Self::call(self, hook, slot)
    }

    fn resume(&self, slot: i32, ticket: i32) -> i32 {
        Self::resume(self, slot, ticket)
    }

    fn release(&self, slot: i32) {
        Self::release(self, slot);
    }
}
