//! What the proxy and a plugin adapter owe each other: what goes into a hook, and what comes out.
//! No wasmtime type and no hyper type stands here, so that another adapter fits behind it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::telemetry::record::Record;

/// What a hook of a chain came to, for the exchange.
#[derive(Debug)]
pub enum Outcome {
    /// Go on with the next plugin or stage.
    Continue,
    /// Answer this instead of going on.
    Reply(LocalReply),
    /// The plugin failed and its configuration says that the exchange must fail too.
    Refuse(Fault),
    /// The hook waits; call the instance's resume with this ticket when it is answered.
    Pending(Ticket),
}

/// The number of an exchange in one instance of a plugin, as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub u32);

/// Which pending call of a plugin is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(pub u32);

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

/// The record of the exchange, in the hands of a plugin for the time of one call.
pub type Scope = Box<Record>;
