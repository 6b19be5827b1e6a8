//! The host in memory, second part: waiting, call-outs, bodies, overrides, the store, and what is handed over.
//! It runs no hook; the clock only moves when a test or a hook that waits moves it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tidegate_abi::{ABSENT_NUMBER, Body, Hook, Mode, Number, Overflow, Reader, answer, limits, status};

use super::call_out::{TestAnswer, TestCallOut};
use super::memory::{Memory, give, is_header};

thread_local! {
    /// Tickets are different in all hosts of a thread, since what waits for them is kept by thread.
    static TICKET: Cell<i32> = const { Cell::new(0) };
}

/// Names of what an operator can allow.
pub(crate) const CAPABILITIES: [&str; 12] = [
    "metrics",
    "log_fields",
    "log_lines",
    "spans",
    "headers",
    "reply",
    "read_bodies",
    "change_bodies",
    "routing",
    "key_value",
    "call_outs",
    "connections",
];

/// What stands in for an upstream.
type Service = Box<dyn FnMut(&TestCallOut) -> TestAnswer>;

/// What the second part keeps.
pub(crate) struct Platform {
    /// The slot that a hook runs for.
    pub slot: i32,
    pub now: Duration,
    pub operations: Vec<Operation>,
    /// What the hook is resumed with.
    pub answered: Option<(i32, TestAnswer)>,
    pub upstreams: Vec<(String, Service)>,
    pub requests: Vec<TestCallOut>,
    /// How bodies are wanted, by their number.
    pub wishes: [Wish; 2],
    pub store: BTreeMap<Vec<u8>, Stored>,
    pub store_budget: usize,
    pub denied: Vec<String>,
    /// What this instance can read of the one before, and what it wrote for the next.
    pub handed: Option<Vec<u8>>,
    pub handing: Option<Vec<u8>>,
}

/// Something that was started and is not answered.
#[derive(Debug)]
pub(crate) struct Operation {
    pub slot: i32,
    pub ticket: i32,
    pub due: Duration,
    /// `None` for a sleep.
    pub answer: Option<TestAnswer>,
}

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub value: Vec<u8>,
    pub until: Option<Duration>,
}

/// How a body is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    pub mode: Mode,
    pub limit: usize,
    pub overflow: Overflow,
}

/// A piece of a body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    pub bytes: Vec<u8>,
    pub is_last: bool,
    pub holds_head: bool,
    pub may_change: bool,
}

/// What a plugin wants of the rest of the exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    pub route: Option<String>,
    pub upstream: Option<String>,
    pub timeout: Option<Option<Duration>>,
    pub limit_keys: Vec<(String, Vec<u8>)>,
}

// === impl Platform ===

impl Platform {
    pub fn is_denied(&self, capability: &str) -> bool {
        self.denied.iter().any(|denied| denied == capability)
    }

    /// Takes the operation of a slot that is answered next, and moves the clock there.
    pub fn next_answer(&mut self, slot: i32) -> Option<(i32, Duration)> {
        let mine = self.operations.iter().enumerate().filter(|(_, operation)| operation.slot == slot);
        let (at, _) = mine.min_by_key(|(_, operation)| operation.due)?;
        let Operation { ticket, due, answer, .. } = self.operations.remove(at);
        let waited = due.saturating_sub(self.now);
        self.now += waited;
        self.answered = answer.map(|answer| (ticket, answer));
        Some((ticket, waited))
    }

    /// When the next operation of a slot is answered.
    pub fn next_due(&self, slot: i32) -> Option<Duration> {
        self.operations.iter().filter(|operation| operation.slot == slot).map(|operation| operation.due).min()
    }

    /// A hook of this slot has ended: what it started is of no use any more.
    pub fn cancel(&mut self, slot: i32) {
        self.operations.retain(|operation| operation.slot != slot);
        self.answered = None;
    }

    fn start(&mut self, after: Duration, answer: Option<TestAnswer>) -> i32 {
        let ticket = TICKET.get() + 1;
        TICKET.set(ticket);
        self.operations.push(Operation { slot: self.slot, ticket, due: self.now + after, answer });
        ticket
    }

    fn lookup(&self, key: &[u8]) -> Option<&Stored> {
        self.store.get(key).filter(|stored| stored.until.is_none_or(|until| self.now < until))
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>, until: Option<Duration>) -> i32 {
        if key.is_empty() || key.len() > limits::STORE_KEY || value.len() > limits::STORE_VALUE {
            return status::INVALID;
        }
        let now = self.now;
        self.store.retain(|_, stored| stored.until.is_none_or(|until| now < until));
        let others = self.store.iter().filter(|(known, _)| *known != key);
        let used: usize = others.map(|(key, stored)| key.len() + stored.value.len() + 64).sum();
        if used + key.len() + value.len() + 64 > self.store_budget {
            return status::BUDGET;
        }
        self.store.insert(key.to_vec(), Stored { value, until });
        status::OK
    }

    fn until(&self, ttl: i64) -> Result<Option<Duration>, i32> {
        match u64::try_from(ttl) {
            Ok(0) => Ok(None),
            Ok(milliseconds) => Ok(Some(self.now + Duration::from_millis(milliseconds))),
            Err(_) => Err(status::INVALID),
        }
    }
}

impl Default for Platform {
    fn default() -> Self {
        Self {
            slot: 0,
            now: Duration::ZERO,
            operations: Vec::new(),
            answered: None,
            upstreams: Vec::new(),
            requests: Vec::new(),
            wishes: [Wish::default(); 2],
            store: BTreeMap::new(),
            store_budget: 1 << 20,
            denied: Vec::new(),
            handed: None,
            handing: None,
        }
    }
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform").field("now", &self.now).field("operations", &self.operations).finish_non_exhaustive()
    }
}

// === impl Memory: waiting ===

impl Memory {
    /// A hook of the exchange has waited, and the exchange with it.
    pub(crate) fn wait(&mut self, waited: Duration) {
        if let Some(exchange) = &mut self.exchange {
            let before = exchange.numbers.iter().rev().find(|(number, _)| *number == Number::Duration);
            let before = before.map_or(0, |(_, nanos)| *nanos);
            let waited = i64::try_from(waited.as_nanos()).unwrap_or(i64::MAX);
            exchange.numbers.push((Number::Duration, before.saturating_add(waited)));
        }
    }

    pub(crate) fn sleep(&mut self, milliseconds: i64) -> i32 {
        match u64::try_from(milliseconds) {
            _ if !self.can_wait() => status::STAGE,
            Ok(milliseconds @ 1..=3_600_000) => self.platform.start(Duration::from_millis(milliseconds), None),
            _ => status::INVALID,
        }
    }

    pub(crate) fn call_out(&mut self, encoded: &[u8]) -> i32 {
        if self.platform.is_denied("call_outs") {
            return status::DENIED;
        }
        if !self.can_wait() {
            return status::STAGE;
        }
        let Some((request, timeout)) = read_call_out(encoded) else { return status::INVALID };
        let service = self.platform.upstreams.iter_mut().rev().find(|(name, _)| name == request.upstream());
        let Some((_, service)) = service else { return status::ABSENT };
        let mut answer = service(&request);
        self.platform.requests.push(request);
        let after = if answer.after >= timeout {
            answer = TestAnswer::failed("timeout");
            timeout
        } else {
            answer.after
        };
        self.platform.start(after, Some(answer))
    }

    pub(crate) fn answer_status(&self, ticket: i32) -> i32 {
        match &self.platform.answered {
            Some((answered, answer)) if *answered == ticket => {
                answer.answer.as_ref().map_or(status::FAILED, |reply| reply.status.into())
            }
            _ => status::ABSENT,
        }
    }

    pub(crate) fn answer_read(&self, ticket: i32, part: i32, buffer: &mut [u8]) -> i32 {
        let Some((_, answer)) = self.platform.answered.as_ref().filter(|(answered, _)| *answered == ticket) else {
            return status::ABSENT;
        };
        match (part, &answer.answer) {
            (answer::HEADERS, Ok(reply)) => give(buffer, &reply.encoded_headers()),
            (answer::BODY, Ok(reply)) => give(buffer, &reply.body),
            (answer::ERROR, Err(reason)) => give(buffer, reason.as_bytes()),
            (answer::HEADERS | answer::BODY | answer::ERROR, _) => status::ABSENT,
            _ => status::INVALID,
        }
    }

    const fn can_wait(&self) -> bool {
        !matches!(self.hook, None | Some(Hook::Configure | Hook::HandOver | Hook::Log))
    }
}

/// A valid call-out, and how long it may take.
fn read_call_out(encoded: &[u8]) -> Option<(TestCallOut, Duration)> {
    let mut reader = Reader::new(encoded);
    let [upstream, method, path] = [reader.text().ok()?, reader.text().ok()?, reader.text().ok()?];
    let timeout = match reader.u32().ok()? {
        0 => Duration::from_secs(5),
        milliseconds => Duration::from_millis(milliseconds.into()),
    };
    let (mut fields, body) = (Reader::new(reader.bytes().ok()?), reader.bytes().ok()?);
    let mut headers = Vec::new();
    while !fields.is_empty() {
        let (name, value) = (fields.text().ok()?, fields.bytes().ok()?);
        if !is_header(name, value) {
            return None;
        }
        headers.push((name.to_ascii_lowercase(), value.to_vec()));
    }
    let method_fits = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let path_fits = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
    let fits = method_fits && path_fits && body.len() <= limits::CALL_OUT_BODY && reader.is_empty();
    fits.then(|| (TestCallOut::new(upstream, method, path, headers, body.to_vec()), timeout))
}

// === impl Memory: bodies ===

impl Memory {
    pub(crate) fn body_mode(&mut self, body: i32, mode: i32, limit: i64, overflow: i32) -> i32 {
        let (Some(body), Some(mode), Some(overflow)) =
            (Body::from_i32(body), Mode::from_i32(mode), Overflow::from_i32(overflow))
        else {
            return status::INVALID;
        };
        let Some(limit) = usize::try_from(limit).ok().filter(|_| limit <= limits::BODY) else { return status::INVALID };
        let wish = Wish { mode, limit, overflow };
        let place = match (self.hook, body, &mut self.exchange) {
            (Some(Hook::Configure), _, _) => {
                let [request, response] = &mut self.platform.wishes;
                *(if body == Body::Request { request } else { response }) = wish;
                return status::OK;
            }
            (Some(Hook::RequestHead), _, Some(exchange))
            | (Some(Hook::ResponseHead), Body::Response, Some(exchange)) => {
                let [request, response] = &mut exchange.wishes;
                if body == Body::Request { request } else { response }
            }
            _ => return status::STAGE,
        };
        *place = Some(wish);
        status::OK
    }

    pub(crate) fn body_read(&self, offset: usize, buffer: &mut [u8]) -> i32 {
        if self.platform.is_denied("read_bodies") {
            return status::DENIED;
        }
        match self.exchange.as_ref().and_then(|exchange| exchange.piece.as_ref()) {
            None => status::STAGE,
            Some(piece) => piece.bytes.get(offset..).map_or(status::INVALID, |rest| give(buffer, rest)),
        }
    }

    pub(crate) fn body_replace(&mut self, bytes: &[u8]) -> i32 {
        self.change_body(|piece| *piece = bytes.to_vec())
    }

    pub(crate) fn body_append(&mut self, bytes: &[u8]) -> i32 {
        self.change_body(|piece| piece.extend(bytes))
    }

    fn change_body(&mut self, change: impl FnOnce(&mut Vec<u8>)) -> i32 {
        if self.platform.is_denied("change_bodies") {
            return status::DENIED;
        }
        let piece = self.exchange.as_mut().and_then(|exchange| exchange.piece.as_mut());
        match piece.filter(|piece| piece.may_change) {
            None => status::STAGE,
            Some(piece) => {
                change(&mut piece.bytes);
                status::OK
            }
        }
    }
}

// === impl Memory: overrides ===

impl Memory {
    pub(crate) fn route_set(&mut self, name: &str) -> i32 {
        self.order(false, |orders| {
            if name.is_empty() {
                return status::ABSENT;
            }
            orders.route = Some(name.to_owned());
            status::OK
        })
    }

    pub(crate) fn upstream_set(&mut self, name: &str) -> i32 {
        self.order(true, |orders| {
            if name.is_empty() {
                return status::ABSENT;
            }
            orders.upstream = Some(name.to_owned());
            status::OK
        })
    }

    pub(crate) fn timeout_set(&mut self, milliseconds: i64) -> i32 {
        self.order(true, |orders| match u64::try_from(milliseconds) {
            Ok(0) => {
                orders.timeout = Some(None);
                status::OK
            }
            Ok(milliseconds) => {
                orders.timeout = Some(Some(Duration::from_millis(milliseconds)));
                status::OK
            }
            Err(_) => status::INVALID,
        })
    }

    pub(crate) fn limit_key_set(&mut self, name: &str, value: &[u8]) -> i32 {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
        let fits = (1..=64).contains(&name.len()) && name.bytes().all(word) && value.len() <= limits::LIMIT_KEY;
        self.order(false, |orders| {
            if !fits {
                return status::INVALID;
            }
            orders.limit_keys.retain(|(known, _)| known != name);
            orders.limit_keys.push((name.to_owned(), value.to_vec()));
            status::OK
        })
    }

    fn order(&mut self, while_held: bool, order: impl FnOnce(&mut Orders) -> i32) -> i32 {
        if self.platform.is_denied("routing") {
            return status::DENIED;
        }
        let hook = self.hook;
        let Some(exchange) = &mut self.exchange else { return status::STAGE };
        match hook {
            Some(Hook::RequestHead) => order(&mut exchange.orders),
            Some(Hook::RequestBody) if while_held && exchange.holds_head() => order(&mut exchange.orders),
            _ => status::STAGE,
        }
    }
}

// === impl Memory: the store, and what is handed over ===

impl Memory {
    /// Why the store cannot be used, if it cannot: it is not allowed, or a plugin is only being tried out.
    fn no_store(&self) -> Option<i32> {
        match self.hook {
            _ if self.platform.is_denied("key_value") => Some(status::DENIED),
            None | Some(Hook::Configure) => Some(status::STAGE),
            Some(_) => None,
        }
    }

    pub(crate) fn store_get(&self, key: &[u8], buffer: &mut [u8]) -> i32 {
        match self.no_store() {
            Some(status) => status,
            None => self.platform.lookup(key).map_or(status::ABSENT, |stored| give(buffer, &stored.value)),
        }
    }

    pub(crate) fn store_set(&mut self, key: &[u8], value: &[u8], ttl: i64) -> i32 {
        match (self.no_store(), self.platform.until(ttl)) {
            (Some(status), _) | (None, Err(status)) => status,
            (None, Ok(until)) => self.platform.put(key, value.to_vec(), until),
        }
    }

    pub(crate) fn store_swap(&mut self, key: &[u8], old: Option<&[u8]>, new: &[u8], ttl: i64) -> i32 {
        if self.platform.lookup(key).map(|stored| &*stored.value) != old && self.no_store().is_none() {
            return status::CONFLICT;
        }
        self.store_set(key, new, ttl)
    }

    pub(crate) fn store_increment(&mut self, key: &[u8], delta: i64, ttl: i64) -> i64 {
        let (now, until) = match (self.platform.lookup(key), self.platform.until(ttl)) {
            (None, Ok(until)) => (Some(0), until),
            (Some(stored), Ok(_)) => (stored.value.as_slice().try_into().ok().map(i64::from_le_bytes), stored.until),
            (_, Err(_)) => (None, None),
        };
        let Some(sum) = now.and_then(|now| now.checked_add(delta)).filter(|_| self.no_store().is_none()) else {
            return ABSENT_NUMBER;
        };
        match self.platform.put(key, sum.to_le_bytes().to_vec(), until) {
            status::OK => sum,
            _ => ABSENT_NUMBER,
        }
    }

    pub(crate) fn store_remove(&mut self, key: &[u8]) -> i32 {
        if let Some(status) = self.no_store() {
            return status;
        }
        let was_there = self.platform.lookup(key).is_some();
        self.platform.store.remove(key);
        if was_there { status::OK } else { status::ABSENT }
    }

    pub(crate) fn state_read(&self, buffer: &mut [u8]) -> i32 {
        match (self.hook, &self.platform.handed) {
            (Some(Hook::Configure), Some(handed)) => give(buffer, handed),
            (Some(Hook::Configure), None) => status::ABSENT,
            _ => status::STAGE,
        }
    }

    pub(crate) fn state_write(&mut self, state: &[u8]) -> i32 {
        if self.hook != Some(Hook::HandOver) {
            return status::STAGE;
        }
        if state.len() > limits::HANDED_STATE {
            return status::INVALID;
        }
        self.platform.handing = Some(state.to_vec());
        status::OK
    }
}
