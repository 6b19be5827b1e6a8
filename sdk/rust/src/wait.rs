//! What a hook can wait for: tickets of the host, and several of them at once.
//! It does not know which hook waits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_abi::{answer, limits, status};

use crate::{Bytes, Refused, ffi};

thread_local! {
    /// By ticket: what its waiter will find. Tickets are the instance's own, and a module has one instance.
    static TICKETS: RefCell<BTreeMap<i32, Kept>> = const { RefCell::new(BTreeMap::new()) };
    /// How many tickets the hook that runs now has.
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

/// What is known of a ticket.
enum Kept {
    /// Not answered; of a sleep, or of a call-out, whose answer has parts to read.
    Open {
        has_parts: bool,
    },
    Answered(Answered),
}

/// What a ticket was answered with.
pub(crate) enum Answered {
    /// The time is over.
    Woke,
    Response {
        status: u16,
        headers: Bytes,
        body: Bytes,
    },
    /// Why there is no answer.
    Failed(Bytes),
}

/// A ticket of the host; a future of its answer. Without its waiter the answer is dropped.
pub(crate) struct Ticket(i32);

// === impl Ticket ===

impl Ticket {
    /// Takes over what a host function started.
    pub fn new(result: i32, has_parts: bool) -> Result<Self, Refused> {
        let ticket = Refused::check(result)?;
        TICKETS.with_borrow_mut(|tickets| tickets.insert(ticket, Kept::Open { has_parts }));
        COUNT.set(COUNT.get() + 1);
        Ok(Self(ticket))
    }
}

impl Future for Ticket {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Answered> {
        TICKETS.with_borrow_mut(|tickets| match tickets.remove(&self.0) {
            Some(Kept::Answered(answered)) => Poll::Ready(answered),
            Some(open) => {
                tickets.insert(self.0, open);
                Poll::Pending
            }
            None => Poll::Ready(Answered::Failed(Bytes::from(&b"internal"[..]))),
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The thread may be ending with a test that failed.
        let _ = TICKETS.try_with(|tickets| tickets.borrow_mut().remove(&self.0));
        let _ = COUNT.try_with(|count| count.set(count.get().saturating_sub(1)));
    }
}

/// Runs a hook that has `tickets`, and counts those that it starts and ends.
pub(crate) fn counting<T>(tickets: &mut u32, hook: impl FnOnce() -> T) -> T {
    COUNT.set(*tickets);
    let result = hook();
    *tickets = COUNT.get();
    result
}

/// Notes that a ticket is answered. Its parts can only be read now, so they are, if somebody still waits for them.
pub(crate) fn answered(ticket: i32) {
    let has_parts = TICKETS.with_borrow(|tickets| match tickets.get(&ticket) {
        Some(Kept::Open { has_parts }) => Some(*has_parts),
        _ => None,
    });
    let Some(has_parts) = has_parts else { return };
    let answered = if has_parts { read(ticket) } else { Answered::Woke };
    TICKETS.with_borrow_mut(|tickets| tickets.insert(ticket, Kept::Answered(answered)));
}

fn read(ticket: i32) -> Answered {
    let part = |part| Bytes::read(|buffer| ffi::answer_read(ticket, part, buffer)).unwrap_or_else(Bytes::empty);
    match ffi::answer_status(ticket) {
        status::FAILED => Answered::Failed(part(answer::ERROR)),
        code => match u16::try_from(code) {
            Ok(status) => Answered::Response { status, headers: part(answer::HEADERS), body: part(answer::BODY) },
            Err(_) => Answered::Failed(Bytes::from(&b"internal"[..])),
        },
    }
}

/// Waits for `duration`: whole milliseconds, rounded up, at most one hour.
pub(crate) async fn sleep(duration: Duration) -> Result<(), Refused> {
    if duration.is_zero() {
        return Ok(());
    }
    Ticket::new(ffi::sleep(milliseconds(duration)), false)?.await;
    Ok(())
}

/// A time in whole milliseconds, rounded up: a short one must not become none.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

/// As [`milliseconds`], within what the host lets a hook wait.
pub(crate) fn bounded_milliseconds(duration: Duration) -> u32 {
    u32::try_from(milliseconds(duration).min(limits::WAIT)).unwrap_or(u32::MAX)
}

/// Waits for two things at once, such as two call-outs, and gives both results.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # async fn both(exchange: &Exchange) {
/// let (user, flags) = join(
///     exchange.call_out(CallOut::get("users", "/me")),
///     exchange.call_out(CallOut::get("flags", "/all")),
/// )
/// .await;
/// # let _ = (user, flags);
/// # }
/// ```
pub async fn join<A: Future, B: Future>(first: A, second: B) -> (A::Output, B::Output) {
    let (mut first, mut second) = (Box::pin(first), Box::pin(second));
    let (mut one, mut two) = (None, None);
    poll_fn(move |context| {
        poll_once(&mut one, first.as_mut(), context);
        poll_once(&mut two, second.as_mut(), context);
        match (one.take(), two.take()) {
            (Some(one), Some(two)) => Poll::Ready((one, two)),
            (first, second) => {
                (one, two) = (first, second);
                Poll::Pending
            }
        }
    })
    .await
}

/// Waits for any number of things at once; gives their results in the order in which they were given.
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = futures.into_iter().map(|future| (None, Box::pin(future))).collect();
    poll_fn(move |context| {
        for (output, future) in &mut all {
            poll_once(output, future.as_mut(), context);
        }
        match all.iter().all(|(output, _)| output.is_some()) {
            true => Poll::Ready(all.drain(..).filter_map(|(output, _)| output).collect()),
            false => Poll::Pending,
        }
    })
    .await
}

fn poll_once<F: Future>(output: &mut Option<F::Output>, future: Pin<&mut F>, context: &mut Context<'_>) {
    if output.is_none()
        && let Poll::Ready(ready) = future.poll(context)
    {
        *output = Some(ready);
    }
}
