//! What a puppet does: at which hook which effects, and how the hook ends. One language for all adapters.
//! It knows neither how an adapter calls the host nor what a case expects.
//!
//! An effect has the name and the arguments of the host function in the native ABI; an adapter that has another name for it
//! translates. What an effect returned is written down as a *note*: by its name, as a number, or as the text that was read.

use std::collections::BTreeMap;

use tidegate_abi::Hook;

/// What a puppet does in a case.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub entries: BTreeMap<Entry, Part>,
    /// Whether all notes of a call go together, for scripts with very many of them.
    pub gathers: bool,
}

/// Where a puppet is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    Hook(Hook),
    /// The hook has waited, and is called again.
    Resume(Hook),
}

/// What it does there.
#[derive(Clone, Debug, Default)]
pub struct Part {
    pub steps: Vec<Step>,
    /// How the first call ends, the second and so on; the last one counts for all that follow. None: it goes on.
    pub ends: Vec<End>,
}

/// One effect.
#[derive(Clone, Debug)]
pub struct Step {
    pub effect: &'static str,
    pub arguments: Vec<Value>,
    pub note: Option<Note>,
    /// So often in a row; the note is of the last.
    pub times: u32,
}

/// How a result is written down.
#[derive(Clone, Debug)]
pub struct Note {
    pub name: String,
    /// Whether what was read is meant, and not the number that was returned.
    pub text: bool,
}

/// An argument of an effect.
#[derive(Clone, Debug)]
pub enum Value {
    Int(i64),
    Float(f64),
    /// `{self}` in it stands for the name of the case's plugin, route and so on.
    Bytes(Vec<u8>),
    /// So many times `x`.
    Long(usize),
    /// No bytes, where none is something else than empty.
    Absent,
    /// What the effect returned that was noted under this name.
    Of(&'static str),
    /// The ticket that the hook is resumed with.
    Ticket,
    /// Names and values.
    Headers(Vec<(&'static str, &'static str)>),
    LabelSet(&'static str, Vec<String>),
    Metric(Metric),
    CallOut(CallOut),
}

/// A metric to define.
#[derive(Clone, Debug)]
pub struct Metric {
    /// 0 counter, 1 gauge, 2 histogram.
    pub kind: u32,
    pub name: &'static str,
    pub unit: &'static str,
    pub labels: Vec<u32>,
    pub buckets: Vec<f64>,
}

/// A request to an upstream.
#[derive(Clone, Debug)]
pub struct CallOut {
    pub upstream: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    pub milliseconds: u32,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Vec<u8>,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Continue,
    Pending,
    Reply,
    Fail,
    Close,
    Trap,
}

impl Entry {
    /// The hook that is meant.
    pub const fn hook(self) -> Hook {
        match self {
            Self::Hook(hook) | Self::Resume(hook) => hook,
        }
    }
}

impl Step {
    pub fn new(effect: &'static str, arguments: Vec<Value>) -> Self {
        Self { effect, arguments, note: None, times: 1 }
    }

    /// Notes what is returned.
    pub fn note(mut self, name: impl Into<String>) -> Self {
        self.note = Some(Note { name: name.into(), text: false });
        self
    }

    /// Notes what is read.
    pub fn text(mut self, name: impl Into<String>) -> Self {
        self.note = Some(Note { name: name.into(), text: true });
        self
    }

    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

impl CallOut {
    pub fn get(upstream: &'static str, path: &'static str) -> Self {
        Self { upstream, method: "GET", path, milliseconds: 0, headers: Vec::new(), body: Vec::new() }
    }

    pub fn milliseconds(mut self, milliseconds: u32) -> Self {
        self.milliseconds = milliseconds;
        self
    }

    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn post(mut self, body: impl Into<Vec<u8>>) -> Self {
        (self.method, self.body) = ("POST", body.into());
        self
    }
}

impl Metric {
    pub fn new(kind: u32, name: &'static str) -> Self {
        Self { kind, name, unit: "", labels: Vec::new(), buckets: Vec::new() }
    }

    pub fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    pub fn labels(mut self, labels: impl Into<Vec<u32>>) -> Self {
        self.labels = labels.into();
        self
    }

    pub fn buckets(mut self, buckets: impl Into<Vec<f64>>) -> Self {
        self.buckets = buckets.into();
        self
    }
}

/// `act!(header_set: REQUEST, "x-a", "1")`: one effect.
macro_rules! act {
    ($effect:ident $(: $($argument:expr),+)?) => {
        crate::contract::script::Step::new(
            stringify!($effect),
            vec![$($(crate::contract::script::Value::from($argument)),+)?],
        )
    };
}
pub(super) use act;

macro_rules! from {
    ($($type:ty => |$value:ident| $to:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $to
            }
        })*
    };
}

from! {
    i32 => |value| Self::Int(value.into());
    i64 => |value| Self::Int(value);
    f64 => |value| Self::Float(value);
    &str => |value| Self::Bytes(value.as_bytes().to_vec());
    &[u8] => |value| Self::Bytes(value.to_vec());
    Metric => |value| Self::Metric(value);
    CallOut => |value| Self::CallOut(value);
}
