//! The walk of a WebSocket once both sides have said 101: bytes in both directions until one side ends.
//! It knows neither the exchange nor the handshake, and never buffers without bound.

mod pump;

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use crate::error::Reason;
use pump::{Pump, scratch};

/// Bytes that went through, readable while they go.
#[derive(Debug, Default)]
pub struct Traffic {
    /// From the client to the upstream.
    pub sent: Cell<u64>,
    /// From the upstream to the client.
    pub received: Cell<u64>,
}

/// One side of a WebSocket: its connection, and what came in with its handshake.
#[derive(Debug)]
pub struct Side<IO> {
    pub io: IO,
    pub early: Bytes,
}

/// Moves bytes between two sides until both directions ended, one broke, or nothing moved for `idle`.
///
/// Each direction ends for itself, so a side that has closed for sending still receives.
///
/// # Errors
/// `ClientClosed` or `UpstreamClosed` for the side that broke; `Timeout` when both were silent.
pub async fn splice<C, U>(client: Side<C>, upstream: Side<U>, idle: Duration, traffic: &Traffic) -> Result<(), Reason>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let Side { io: mut client, early } = client;
    let mut up = Pump::new(early, &traffic.sent);
    let Side { io: mut upstream, early } = upstream;
    let mut down = Pump::new(early, &traffic.received);
    let mut timer = pin!(sleep_until(Instant::now() + idle));
    let mut moved = traffic.sent.get() + traffic.received.get();
    // Where the silence began; the timer is moved only when it fires, not with every message.
    let mut silent_since = Instant::now();
    std::future::poll_fn(|context| {
        let (sent, received) = scratch(|buffer| {
            (
                up.poll(context, &mut client, &mut upstream, buffer),
                down.poll(context, &mut upstream, &mut client, buffer),
            )
        });
        let total = traffic.sent.get() + traffic.received.get();
        if total != moved {
            moved = total;
            silent_since = Instant::now();
        }
        let ended = pump::both(&sent, &received);
        if ended.is_ready() {
            return ended;
        }
        while timer.as_mut().poll(context).is_ready() {
            if silent_since.elapsed() >= idle {
                return std::task::Poll::Ready(Err(Reason::Timeout));
            }
            timer.as_mut().reset(silent_since + idle);
        }
        std::task::Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests;
