//! What the host keeps for one instance, and what a host function sees of it during a call.
//! It makes no call itself; `instance` moves in before a call what the call is about, and out after it.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_abi::{Hook, Signature, status};

use super::config::{Allow, Budget, Capability};
use super::contract::{Answer, Directory, Matter, Operation, Orders, Scope, Ticket, Work};
use super::counted::Counted;
use super::definitions::Definitions;
use super::drops::{Effect, Why};
use super::host::Known;
use super::slots::{Kept, Started};
use super::words::Words;
use crate::telemetry::record::Record;

/// The data of a wasmtime store.
pub(super) struct State {
    pub identity: Arc<Identity>,
    /// What the names of the configuration stand for; empty on the control thread.
    pub directory: Rc<Directory>,
    /// The guest's memory, found once for each instance; absent while a module's start function runs.
    pub memory: Option<wasmtime::Memory>,
    pub limits: MemoryLimit,
    /// The hook that runs.
    pub hook: Hook,
    /// The exchange that the hook is about.
    pub record: Option<Scope>,
    /// What the hook is about beside it.
    pub matter: Matter,
    /// What is kept for the slot of the hook.
    pub kept: Box<Kept>,
    /// What the plugin counts on this worker.
    pub counted: Box<Counted>,
    /// What the hook is resumed with.
    pub answer: Option<(Ticket, Answer)>,
    /// Names of headers that the guest has used.
    pub names: Vec<Known>,
    /// Keys of log fields that it has used.
    pub fields: Words,
    /// Keys of attributes that it has used.
    pub attributes: Words,
    /// Names of spans that it has used.
    pub spans: Words,
    /// Why the guest returns [`Verdict::Fail`](tidegate_abi::Verdict::Fail).
    pub refusal: Option<Box<str>>,
    /// The number of the next operation.
    next: u32,
    /// What was defined so far, by this instance.
    pub definitions: Definitions,
    /// What the generation before has handed over; for `configure`.
    pub handed: Option<Bytes>,
    /// What is to be handed over to the next; of `hand_over`.
    pub handing: Option<Bytes>,
}

/// What is the same for every instance of a plugin.
#[derive(Debug)]
pub(super) struct Identity {
    pub name: Arc<str>,
    /// Tells plugins apart in a record.
    pub id: u16,
    pub config: Box<[u8]>,
    pub allow: Allow,
    pub budget: Budget,
}

/// Keeps the guest's memory within its budget.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    budget: usize,
    /// Bytes that the guest has.
    pub bytes: usize,
    /// Bytes that all its tables take.
    tables: usize,
}

// === impl State ===

impl State {
    /// The state of a fresh instance. It counts nothing before it is lent what counts.
    pub fn new(identity: Arc<Identity>, directory: Rc<Directory>, handed: Option<Bytes>) -> Self {
        Self {
            counted: Box::new(Counted::nothing(&identity.name)),
            limits: MemoryLimit { budget: identity.budget.memory, bytes: 0, tables: 0 },
            identity,
            directory,
            memory: None,
            hook: Hook::Configure,
            record: None,
            matter: Matter::Exchange,
            kept: Box::default(),
            answer: None,
            names: Vec::new(),
            fields: Words::default(),
            attributes: Words::default(),
            spans: Words::default(),
            refusal: None,
            next: 1,
            definitions: Definitions::default(),
            handed,
            handing: None,
        }
    }

    /// Why the guest returned [`Verdict::Fail`](tidegate_abi::Verdict::Fail).
    pub fn refusal(&mut self) -> String {
        self.refusal.take().map_or_else(|| "it gave no reason".to_owned(), String::from)
    }

    /// The exchange at hand, or the status that says there is none in this hook.
    pub fn record(&mut self) -> Result<&mut Record, i32> {
        self.record.as_deref_mut().ok_or(status::STAGE)
    }

    /// Whether the operator allows the plugin this.
    pub fn allowed(&self, capability: Capability) -> bool {
        self.identity.allow.has(capability)
    }

    /// Denies an effect that the operator does not allow, and counts that.
    ///
    /// # Errors
    /// The status that tells the guest.
    pub fn demand(&mut self, capability: Capability, effect: Effect) -> Result<(), i32> {
        if self.allowed(capability) { Ok(()) } else { Err(self.refuse(effect, Why::Denied)) }
    }

    /// Whether the hook is about a piece of a body whose head still waits.
    pub const fn holds_head(&self) -> bool {
        matches!(&self.matter, Matter::Piece(piece) if piece.holds_head)
    }

    /// What the hook wants of the rest of the walk so far.
    pub fn orders(&mut self) -> &mut Orders {
        self.kept.orders.get_or_insert_default()
    }

    /// Whether the hook may wait, and so start something to wait for.
    pub fn may_wait(&self) -> bool {
        self.hook.signature() == Signature::Deciding
    }

    /// Notes what is to be carried out for the hook. Returns its ticket.
    pub fn start(&mut self, work: Work) -> i32 {
        let ticket = Ticket(self.next);
        self.next = if self.next == i32::MAX.cast_unsigned() { 1 } else { self.next + 1 };
        let is_call_out = matches!(work, Work::CallOut(_));
        *(if is_call_out { &mut self.counted.call_outs } else { &mut self.counted.sleeps }) += 1;
        self.kept.tickets.push(Started { ticket, is_call_out });
        self.kept.operations.push(Operation { ticket, work });
        ticket.0.cast_signed()
    }

    /// Counts an effect that is not carried out. Returns the status that tells the guest.
    pub fn refuse(&mut self, effect: Effect, why: Why) -> i32 {
        self.counted.drops.count(effect, why);
        why.status()
    }
}

// === impl MemoryLimit ===

impl wasmtime::ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= self.budget;
        if fits {
            self.bytes = desired;
        }
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // A table entry is a pointer on the host: counted like memory, though apart from it, and all tables together.
        let bytes = |entries: usize| entries.saturating_mul(size_of::<usize>());
        let all = self.tables.saturating_sub(bytes(current)).saturating_add(bytes(desired));
        let fits = all <= self.budget;
        if fits {
            self.tables = all;
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        8
    }
}
