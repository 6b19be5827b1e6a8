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

use crate::native::within;
use crate::plugin::Instance;
use crate::{Error, Plugin, Result};

mod exchange;
pub(crate) mod memory;

pub use exchange::{TestExchange, TestRequest, TestSpan};
use memory::Memory;

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

/// The hooks of any plugin, by number, as the host calls them.
trait Hooks {
    fn tick(&self);
    fn request_head(&self, slot: i32) -> i32;
    fn response_head(&self, slot: i32) -> i32;
    fn log(&self, slot: i32);
    fn release(&self, slot: i32);
}

// === impl TestHost ===

impl TestHost {
    /// Configures a plugin, as the proxy does when it loads one.
    ///
    /// # Errors
    /// Why the plugin refused its configuration.
    #[allow(clippy::needless_pass_by_value, reason = "a test writes `json!({ .. })`, and nothing around it")]
    pub fn configure<P: Plugin>(config: serde_json::Value) -> Result<Self> {
        let memory =
            Memory { config: config.to_string().into_bytes(), hook: Some(Hook::Configure), ..Memory::default() };
        let memory = Rc::new(RefCell::new(memory));
        let plugin = Instance::<P>::new();
        let verdict = within(&memory, || plugin.configure());
        if verdict != Verdict::Continue as i32 {
            let why = memory.borrow_mut().refusal.take();
            return Err(Error::new(why.unwrap_or_else(|| "it gave no reason".to_owned())));
        }
        memory.borrow_mut().hook = None;
        Ok(Self { memory, plugin: Box::new(plugin), hooks: P::HOOKS })
    }

    /// Begins an exchange: say what the request is, then [`TestRequest::respond`].
    pub fn exchange(&mut self) -> TestRequest<'_> {
        TestRequest::new(self)
    }

    /// Calls the tick hook once.
    pub fn tick(&mut self) {
        self.run(Hook::Tick, |plugin| plugin.tick());
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

    /// Calls a hook if the plugin has it.
    fn run<T>(&self, hook: Hook, call: impl FnOnce(&dyn Hooks) -> T) -> Option<T> {
        if !self.hooks.contains(&hook) {
            return None;
        }
        self.memory.borrow_mut().hook = Some(hook);
        let result = within(&self.memory, || call(&*self.plugin));
        self.memory.borrow_mut().hook = None;
        Some(result)
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
    fn tick(&self) {
        Self::tick(self);
    }

    fn request_head(&self, slot: i32) -> i32 {
        Self::request_head(self, slot)
    }

    fn response_head(&self, slot: i32) -> i32 {
        Self::response_head(self, slot)
    }

    fn log(&self, slot: i32) {
        Self::log(self, slot);
    }

    fn release(&self, slot: i32) {
        Self::release(self, slot);
    }
}
