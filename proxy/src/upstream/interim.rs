//! Interim answers (1xx but 101) of an HTTP/1 connection, handed from its task to the request that waits for the final one.
//! It decides only how many there may be, and does not know where they go.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use http::{HeaderMap, Request, StatusCode, Version};

use crate::wire::interim::Interim;

/// How many interim answers a request may get, and how many bytes their headers may have together. Who goes on is broken,
/// or means ill.
const MOST: usize = 100;
const MOST_BYTES: usize = 64 * 1024;

/// One connection's interim answers to the request that is on it.
///
/// hyper wants a callback that other threads could call, so the types here are for that; connection and request are tasks
/// of one worker, and nobody ever waits for the lock.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Whether there was any for this request. A request without one, nearly every, looks no further.
    arrived: AtomicBool,
}

#[derive(Default)]
struct State {
    count: usize,
    bytes: usize,
    heads: Vec<(StatusCode, Version, HeaderMap)>,
    waker: Option<Waker>,
}

/// A request's ear at the inbox of the connection that it is on, and where it passes on what it hears.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    inbox: Arc<Inbox>,
    to: &'a Interim,
}

/// There were more than a request may get.
#[derive(Debug)]
pub(super) struct Flood;

// === impl Inbox ===

impl Inbox {
    /// Listens for a request that is about to be sent on the connection.
    pub(super) fn listen<'a, B>(self: &Arc<Self>, request: &mut Request<B>, to: &'a Interim) -> Relay<'a> {
        if self.arrived.load(Ordering::Relaxed) {
            self.with(|state| *state = State::default());
            self.arrived.store(false, Ordering::Relaxed);
        }
        let inbox = Arc::clone(self);
        hyper::ext::on_informational(request, move |answer| {
            inbox.arrived.store(true, Ordering::Relaxed);
            inbox.with(|state| state.push(answer.status(), answer.version(), answer.headers()));
        });
        Relay { inbox: Arc::clone(self), to }
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    fn push(&mut self, status: StatusCode, version: Version, headers: &HeaderMap) {
        self.count += 1;
        self.bytes += headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
        if !self.is_flood() {
            self.heads.push((status, version, headers.clone()));
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    const fn is_flood(&self) -> bool {
        self.count > MOST || self.bytes > MOST_BYTES
    }
}

// === impl Relay ===

impl Relay<'_> {
    /// Passes on what has come. While `waiting` for the final answer, the task is woken by the next one.
    pub(super) fn poll(&self, cx: &Context<'_>, waiting: bool) -> Result<(), Flood> {
        if waiting {
            self.inbox.with(|state| match &mut state.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => state.waker = Some(cx.waker().clone()),
            });
        }
        if !self.inbox.arrived.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (heads, flood) = self.inbox.with(|state| (std::mem::take(&mut state.heads), state.is_flood()));
        for (status, version, headers) in heads {
            self.to.pass(status, version, headers);
        }
        if flood { Err(Flood) } else { Ok(()) }
    }
}
