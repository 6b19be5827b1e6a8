//! Serves one client connection with hyper: HTTP/1.1 behind the guard, or HTTP/2.
//! It does not know what the service does with a request.

mod http1;
mod http2;
mod sniff;
mod streams;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::Reason;
use crate::wire::body::Body;
use crate::wire::config::HeadLimits;
use crate::wire::interim::Interim;

/// How long a connection has, from its acceptance, to get its first request through although a drain has begun.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// What answers requests. Futures stay on the connection's thread.
pub trait Service: 'static {
    /// Answers one request. Whatever happened to it, the answer to give is returned; where `call.verdict` is an error,
    /// the request is a stand-in and must be refused with that reason.
    fn call(&self, call: Call) -> impl Future<Output = Response<Body>> + 'static;
}

/// One request, as it arrived.
#[derive(Debug)]
pub struct Call {
    pub request: Request<Body>,
    /// Whether the request may be looked at.
    pub verdict: Result<(), Reason>,
    /// There when the request asked for an upgrade that can be granted: answer 101 and await it.
    pub upgrade: Option<OnUpgrade>,
    /// There where the client can be sent answers before the answer.
    pub interim: Option<Interim>,
}

/// How connections are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub head: HeadLimits,
    pub idle_timeout: Duration,
}

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 when the connection begins with its preface, else HTTP/1.
    Detect,
    /// As agreed by ALPN.
    Http1,
    /// As agreed by ALPN.
    Http2,
}

/// A connection of any kind.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// Becomes the raw connection after a 101 was sent.
#[derive(Debug)]
pub struct OnUpgrade(oneshot::Receiver<Upgraded>);

/// A connection that has left HTTP.
pub struct Upgraded {
    pub io: Box<dyn Io>,
    /// What the client sent behind its request; to be taken before anything is read from `io`.
    pub early: BytesMut,
}

/// Why serving a connection ended otherwise than well; the exchanges on it have said for themselves what befell them.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot read the first bytes: {0}")]
    Sniff(#[source] io::Error),
    #[error("cannot read the first head: {0}")]
    Head(#[source] io::Error),
    #[error("connection broke: {0}")]
    Http(#[source] hyper::Error),
}

/// Serves `io`, accepted at `accepted`, until either side ends it.
///
/// Once `drain` turns true, requests under way are finished and the connection is closed; idle ones at once, unless they
/// have only just come. An upgraded
/// connection is handed over, and no longer ours.
///
/// # Errors
/// When the connection broke; worth a debug line, no more.
pub async fn serve<IO, S>(
    io: IO,
    protocol: Protocol,
    accepted: Instant,
    service: Rc<S>,
    settings: Settings,
    drain: watch::Receiver<bool>,
) -> Result<(), ServeError>
where
    IO: Io + 'static,
    S: Service,
{
    match protocol {
        Protocol::Http1 => http1::serve(io, BytesMut::new(), accepted, service, settings, drain).await,
        Protocol::Http2 => Box::pin(http2::serve(io, accepted, service, settings, drain)).await,
        Protocol::Detect => match sniff::sniff(io, accepted, settings.head.timeout, drain.clone()).await {
            Ok(sniff::Sniffed::Http1(io, early)) => http1::serve(io, early, accepted, service, settings, drain).await,
            Ok(sniff::Sniffed::Http2(io)) => Box::pin(http2::serve(io, accepted, service, settings, drain)).await,
            Ok(sniff::Sniffed::Silent) => Ok(()),
            Err(error) => Err(ServeError::Sniff(error)),
        },
    }
}

/// Ready when `drain` is true; never when its sender is gone without that.
async fn drained(drain: &mut watch::Receiver<bool>) {
    if drain.wait_for(|draining| *draining).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ready when a connection has had the time to get its first request through. One that has only just come when a drain
/// begins is not idle: its request is on its way, and a close would lose it.
fn settled(accepted: Instant) -> Sleep {
    sleep_until(accepted + FIRST_REQUEST)
}

// === impl OnUpgrade ===

impl OnUpgrade {
    /// `None` when the connection ended before the 101 was out.
    pub async fn upgraded(self) -> Option<Upgraded> {
        self.0.await.ok()
    }
}

// === impl Upgraded ===

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").field("early", &self.early.len()).finish_non_exhaustive()
    }
}
