//! What the proxy and a plugin adapter owe each other: what goes into a hook, and what comes out.
//! No wasmtime type and no hyper type stands here, so that another adapter fits behind it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};

use crate::error::Reason;
use crate::telemetry::record::Record;

/// What a hook came to.
#[derive(Debug)]
pub enum Outcome {
    /// Go on with the next plugin or stage.
    Continue,
    /// Answer this instead of going on.
    Reply(Box<LocalReply>),
    /// Close the connection; only of `connection_open`.
    Close,
    /// The plugin failed and its configuration says that the exchange must fail too.
    Refuse(Fault),
    /// The hook waits: carry out what [`Instance::operations`](super::Instance::operations) gives, and resume with each answer.
    Pending,
}

/// The number of an exchange, a connection, a tick or an event in one instance of a plugin, as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub u32);

/// Which operation of a plugin is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(pub u32);

/// The record of the exchange, in the hands of a plugin for the time of one call.
pub type Scope = Box<Record>;

/// What a hook is about, beside the exchange; it is in the hands of the plugin for the time of one call.
#[derive(Debug, Default)]
pub enum Matter {
    /// Nothing but the exchange.
    #[default]
    Exchange,
    /// A piece of a body.
    Piece(Piece),
    /// Trailers.
    Trailers(HeaderMap),
    /// A connection.
    Connection(Arc<Link>),
    /// Something that was decided a while ago.
    Event(Event),
}

/// A piece of a body, which the hook may change.
#[derive(Debug, Default)]
pub struct Piece {
    pub bytes: Bytes,
    pub is_last: bool,
    /// Whether the head of the message still waits, and can be changed.
    pub holds_head: bool,
    /// Whether the hook may change `bytes`.
    pub may_change: bool,
    /// Whether it did.
    pub changed: bool,
}

/// What a plugin can know of a client's connection.
#[derive(Debug)]
pub struct Link {
    pub listener: Arc<str>,
    pub peer: SocketAddr,
    pub https: bool,
    pub opened: Instant,
    pub opened_at: SystemTime,
    /// Exchanges so far.
    pub exchanges: u64,
}

/// Something that was decided a while ago, for whoever wants to know.
#[derive(Clone, Debug)]
pub struct Event {
    pub at: SystemTime,
    /// Events that were lost for this plugin since the one before.
    pub lost: u64,
    pub what: Happened,
}

#[derive(Clone, Debug)]
pub enum Happened {
    LimitDecision {
        limit: Arc<str>,
        allowed: bool,
        route: Arc<str>,
        client: IpAddr,
    },
    BreakerTransition {
        upstream: Arc<str>,
        /// `closed`, `half_open` or `open`.
        state: &'static str,
    },
}

/// Something that a plugin has started, and that is to be carried out for it.
#[derive(Debug)]
pub struct Operation {
    pub ticket: Ticket,
    pub work: Work,
}

#[derive(Debug)]
pub enum Work {
    Sleep(Duration),
    CallOut(Box<CallOut>),
}

/// A request of a plugin's own to one of the upstreams.
#[derive(Debug)]
pub struct CallOut {
    /// The plugin that asks.
    pub plugin: Arc<str>,
    /// By [`Directory::upstreams`].
    pub upstream: usize,
    pub request: Request<Bytes>,
    /// From now until the answer was read to its end.
    pub timeout: Duration,
}

/// What became of an [`Operation`].
#[derive(Debug)]
pub enum Answer {
    /// The time is over.
    Woke,
    /// There is an answer; its body is whole.
    Response(Response<Bytes>),
    /// There is none.
    Failed(Reason),
}

/// What a plugin wants of the rest of the walk; what is `None` stays as it is.
#[derive(Debug, Default)]
pub struct Orders {
    /// By [`Directory::routes`].
    pub route: Option<usize>,
    /// By [`Directory::upstreams`].
    pub upstream: Option<usize>,
    /// Of the whole exchange, from its start; `Some(None)` for no end.
    pub timeout: Option<Option<Duration>>,
    /// The values that limits with a key of this name count by.
    pub limit_keys: Vec<(Box<str>, Bytes)>,
}

/// How a body hook wants its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyWish {
    pub mode: tidegate_abi::Mode,
    /// Bytes to peek at, or to buffer.
    pub limit: usize,
    pub overflow: tidegate_abi::Overflow,
}

/// The names that a plugin may say, and what they stand for in this version of the configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Directory {
    pub routes: HashMap<Arc<str>, usize>,
    pub upstreams: HashMap<Arc<str>, usize>,
}

/// An answer that a plugin made.
#[derive(Clone, Debug)]
pub struct LocalReply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// How a plugin call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It trapped, or broke the ABI.
    Trap(String),
    /// It ran longer than its deadline.
    Deadline(Duration),
    /// It returned `fail`.
    Failed(String),
    /// It is not loaded, or in quarantine.
    Unavailable,
}

impl Fault {
    /// The value of the `outcome` label.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Deadline(_) => "deadline",
            Self::Failed(_) => "failed",
            Self::Unavailable => "unavailable",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trap(what) => write!(f, "trap: {what}"),
            Self::Deadline(deadline) => write!(f, "ran longer than its deadline of {deadline:?}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Unavailable => f.write_str("in quarantine, or not loaded"),
        }
    }
}
