//! The admin port: metrics, health, state, reload; on the control thread, never on a worker.
//! It knows the proxy only through [`Control`].

mod answer;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::listen::Acceptor;
use crate::telemetry::access_log::Stamp;
use crate::telemetry::metrics::ScrapeError;

/// How long a client may take for its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How many connections the admin port has at most; it shares a thread with the control of everything. One more, and the
/// oldest gives way: whoever asks and never reads must not keep others from the metrics and the health.
const MAX_CONNECTIONS: usize = 64;

/// A reload that somebody asked for: the new version's number, or what is wrong.
pub type Reloading = Pin<Box<dyn Future<Output = Result<u64, Value>>>>;

/// What the admin port may know of the proxy and ask of it.
pub trait Control {
    /// The metrics, encoded as the client prefers: content type and text.
    fn scrape(&self, accept: Option<&str>) -> Result<(&'static str, Vec<u8>), ScrapeError>;
    /// The paths that answer a scrape.
    fn scrape_paths(&self) -> Vec<Arc<str>>;
    /// Whether connections are accepted and answered.
    fn is_ready(&self) -> bool;
    fn uptime(&self) -> Duration;
    fn checks(&self) -> Vec<(&'static str, Check)>;
    /// Everything that an operator may want to look at.
    fn describe(&self) -> Value;
    fn reload(&self) -> Reloading;
}

/// One part of the proxy's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub state: State,
    pub message: Option<String>,
}

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Healthy,
    /// It works, but somebody should look.
    Warning,
    Unhealthy,
}

/// Why the admin port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for admin: {cause}; choose another with `admin: {{ address: … }}`")]
pub struct Error {
    address: SocketAddr,
    cause: io::Error,
}

/// The admin port, open.
#[derive(Debug)]
pub struct Port {
    listener: tokio::net::TcpListener,
    address: SocketAddr,
}

/// The time, as RFC 3339 has it.
pub fn now() -> String {
    let mut text = Vec::new();
    Stamp::default().push(SystemTime::now(), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

// === impl Port ===

impl Port {
    /// Opens the port. Must be called within a runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        let open = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener: tokio::net::TcpListener::from_std(listener)?, address })
        };
        open().map_err(|cause| Error { address, cause })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the runtime ends.
    pub async fn serve(self, control: Rc<dyn Control>) {
        let mut acceptor = Acceptor::new(self.listener);
        let mut open: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let (stream, _) =
                acceptor.accept(|_, error| tracing::warn!(%error, "cannot accept on the admin port")).await;
            open.retain(|connection| !connection.is_finished());
            if open.len() >= MAX_CONNECTIONS
                && let Some(oldest) = open.pop_front()
            {
                oldest.abort();
            }
            let control = Rc::clone(&control);
            let connection = tokio::task::spawn_local(async move {
                let service = service_fn(move |request| {
                    let control = Rc::clone(&control);
                    async move { Ok::<_, Infallible>(answer::answer(&*control, &request).await) }
                });
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
                // Who asks for a scrape and leaves is no news.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
            open.push_back(connection.abort_handle());
        }
    }
}

// === impl Check ===

impl Check {
    pub const fn healthy() -> Self {
        Self { state: State::Healthy, message: None }
    }

    pub fn warning(message: impl Into<String>) -> Self {
        Self { state: State::Warning, message: Some(message.into()) }
    }

    pub fn unhealthy(message: impl Into<String>) -> Self {
        Self { state: State::Unhealthy, message: Some(message.into()) }
    }
}

// === impl State ===

impl State {
    /// As in the JSON of `/health`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Unhealthy => "unhealthy",
        }
    }
}
