//! An origin that does what the path says, and remembers what it saw.
//! It knows nothing of the proxy before it.
//!
//! | path | what it does |
//! | --- | --- |
//! | `/status/503` | answers with that status |
//! | `/slow/200` | waits so many milliseconds before it answers |
//! | `/hang` | never answers |
//! | `/drop` | closes the connection instead of answering |
//! | `/bytes/1000` | a body of so many bytes, with its length |
//! | `/stream/10` | so many pieces of 1 KiB, in chunks |
//! | `/drip/5/20` | so many pieces of 8 bytes, so many milliseconds apart |
//! | `/stall` | 10 bytes of 100, then nothing |
//! | `/cut` | 10 bytes of 100, then the end |
//! | `/early` | answers without reading the request's body |
//! | `/echo` | the request's body as it comes, with its trailers |
//! | `/trailers` | a body with the trailer `x-checksum` |
//! | `/websocket` | a WebSocket that echoes, in the first subprotocol that is offered |
//! | anything else | the request's line and headers, as JSON |

mod answer;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Version};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::Identity;

/// An origin to be started: HTTP/1.1 in clear on a free port, unless said otherwise.
pub fn origin() -> OriginBuilder {
    OriginBuilder { address: SocketAddr::from(([127, 0, 0, 1], 0)), http2: false, tls: None }
}

/// How an origin will be.
#[derive(Clone, Debug)]
pub struct OriginBuilder {
    address: SocketAddr,
    http2: bool,
    tls: Option<Identity>,
}

/// A running origin; it stops, and cuts its connections, when dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    log: Arc<Log>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// A request that an origin saw.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Path and query as they came.
    pub path: String,
    /// The host that was asked for, from `Host` or `:authority`.
    pub host: String,
    pub version: Version,
    pub headers: HeaderMap,
    /// The body's first 64 KiB, as far as it was read.
    pub body: Bytes,
    /// The body's length, as far as it was read.
    pub body_bytes: u64,
    pub trailers: Option<HeaderMap>,
}

#[derive(Debug, Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    /// WebSocket messages echoed.
    messages: AtomicUsize,
    /// Pieces of body that the client's side has taken from us.
    pieces: AtomicUsize,
}

// === impl OriginBuilder ===

impl OriginBuilder {
    /// Listens there instead of on a free port.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Speaks HTTP/2 only.
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Speaks TLS with this identity.
    pub fn tls(mut self, identity: &Identity) -> Self {
        self.tls = Some(identity.clone());
        self
    }

    /// Starts it.
    #[track_caller]
    pub fn start(self) -> Origin {
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&log);
        let thread = std::thread::Builder::new().name("origin".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! { () = self.serve(listener, shared) => {}, _ = stopped => {} }
            });
        });
        Origin { address, log, stop: Some(stop), thread: Some(thread.unwrap()) }
    }

    async fn serve(self, listener: TcpListener, log: Arc<Log>) {
        let protocols: &[&str] = if self.http2 { &["h2"] } else { &["http/1.1"] };
        let tls: Option<Arc<ServerConfig>> = self.tls.map(|identity| identity.server(protocols));
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            log.connections.fetch_add(1, Ordering::SeqCst);
            let (log, http2, tls) = (Arc::clone(&log), self.http2, tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => connection(stream, http2, log).await,
                    Some(tls) => {
                        if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                            connection(stream, http2, log).await;
                        }
                    }
                }
            });
        }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, http2: bool, log: Arc<Log>) {
    let service = service_fn(move |request| answer::answer(request, Arc::clone(&log)));
    // An origin that is told to fail does; that is no news here.
    let _ = if http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await
    };
}

// === impl Origin ===

impl Origin {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, in the order in which their heads came.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap().clone()
    }

    /// The last request; fails the test where there was none.
    #[track_caller]
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request at the origin")
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.log.seen.lock().unwrap().len()
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// How many WebSocket messages were echoed.
    pub fn messages(&self) -> usize {
        self.log.messages.load(Ordering::SeqCst)
    }

    /// How many pieces of `/stream/` bodies were taken from us.
    pub fn pieces(&self) -> usize {
        self.log.pieces.load(Ordering::SeqCst)
    }

    /// Stops it; its port refuses connections from here on.
    pub fn stop(self) {}
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === impl Seen ===

impl Seen {
    /// All values of a header, joined as lists are; an empty string where there is none.
    pub fn header(&self, name: &str) -> String {
        let values =
            self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        values.collect::<Vec<_>>().join(", ")
    }

    /// Whether there is such a header.
    pub fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }
}
