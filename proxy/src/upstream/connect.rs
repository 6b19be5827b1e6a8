//! A new connection to an endpoint: name, TCP, TLS, and the protocol on it.
//! It keeps no connection, and does not know who waits for it.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::cluster::{Cluster, Endpoint};
use super::config::Protocol;
use super::fault;
use super::outgoing::Outgoing;
use super::resolve::Resolver;
use crate::error::Reason;
use crate::wire::client::{Connection, Stream};
use crate::wire::local_exec::LocalExec;

/// Bytes of a response that may be on their way for one stream and for a whole connection, over HTTP/2. A stream's window bounds what a
/// slow client makes us hold.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// How often a quiet HTTP/2 connection with open streams is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What a request is sent on.
pub(super) enum Opened {
    Http1(Rc<Connection>, Counted),
    Http2(http2::SendRequest<Outgoing>, Rc<Cell<usize>>),
}

/// Why there is no connection: for the exchange, and for whoever reads the log.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) reason: Reason,
    pub(super) cause: String,
}

/// One open connection in a count; taken out when dropped.
#[derive(Debug)]
pub(super) struct Counted(Rc<Cell<usize>>);

/// Connects within the cluster's connect timeout. `open` counts the connection for as long as it is open.
pub(super) async fn connect(
    cluster: &Cluster,
    endpoint: &Endpoint,
    resolver: &Resolver,
    open: &Rc<Cell<usize>>,
) -> Result<Opened, Failed> {
    let limit = cluster.config().timeouts.connect;
    timeout(limit, async {
        let stream = tcp(endpoint, resolver, Instant::now() + limit)
            .await
            .map_err(|error| Failed { reason: fault::of_connect(&error), cause: error.to_string() })?;
        let protocol = cluster.config().protocol;
        match (cluster.tls(), &endpoint.server_name) {
            (Some(tls), Some(name)) => {
                let connector = TlsConnector::from(Arc::clone(&tls.config));
                let stream = connector
                    .connect(name.clone(), stream)
                    .await
                    .map_err(|error| Failed { reason: Reason::TlsFailed, cause: error.to_string() })?;
                if protocol == Protocol::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    let cause = "the endpoint does not speak HTTP/2 over TLS".to_owned();
                    return Err(Failed { reason: Reason::TlsFailed, cause });
                }
                speak(protocol, Stream::Tls(Box::new(stream)), open).await
            }
            _ => speak(protocol, Stream::Tcp(stream), open).await,
        }
    })
    .await
    .unwrap_or_else(|_| Err(Failed { reason: Reason::ConnectTimeout, cause: format!("not connected after {limit:?}") }))
}

/// Tries every address of the endpoint in turn, each with an equal share of the time that is left.
async fn tcp(endpoint: &Endpoint, resolver: &Resolver, deadline: Instant) -> io::Result<TcpStream> {
    let addresses = resolver.addresses(endpoint).await?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for (position, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let left = u32::try_from(addresses.len() - position).unwrap_or(u32::MAX);
        let share = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(share, TcpStream::connect(SocketAddr::new(*address, endpoint.port))).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

async fn speak(protocol: Protocol, stream: Stream, open: &Rc<Cell<usize>>) -> Result<Opened, Failed> {
    let counted = Counted::new(open);
    match protocol {
        Protocol::Http1 => Ok(Opened::Http1(Connection::new(stream), counted)),
        Protocol::Http2 => {
            let failed =
                |error: hyper::Error| Failed { reason: fault::of_exchange(&error).reason, cause: error.to_string() };
            let (sender, connection) = http2::Builder::new(LocalExec)
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_TIMEOUT)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(failed)?;
            let streams = Rc::new(Cell::new(connection.current_max_send_streams()));
            let limit = Rc::clone(&streams);
            drop(tokio::task::spawn_local(async move {
                let mut connection = pin!(connection);
                std::future::poll_fn(|cx| {
                    let polled = connection.as_mut().poll(cx);
                    if polled.is_pending() {
                        // The upstream may change how many it takes at any time.
                        limit.set(connection.current_max_send_streams());
                    }
                    polled.map(drop)
                })
                .await;
                drop(counted);
            }));
            Ok(Opened::Http2(sender, streams))
        }
    }
}

// === impl Counted ===

impl Counted {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
