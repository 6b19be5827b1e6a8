//! A collector: takes OTLP over gRPC or HTTP, keeps what came, and can fail in the usual ways.
//! It knows nothing of who sends.

mod decode;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

pub use decode::{Point, Span};

use crate::scrape::has;
use crate::{Body, Identity};

/// How a collector treats what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorMode {
    /// Takes it.
    Takes,
    /// Never answers.
    Hangs,
    /// Answers 500, or UNAVAILABLE in gRPC.
    Fails,
}

/// Starts a collector for gRPC.
pub fn collector() -> Collector {
    Collector::start(true, None)
}

/// A running collector; it stops when dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    tls: bool,
    kept: Arc<Mutex<Kept>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Kept {
    mode: CollectorMode,
    spans: Vec<Span>,
    points: Vec<Point>,
    /// Requests of any kind, in any mode.
    exports: usize,
    /// Of the last request.
    headers: HeaderMap,
}

impl Collector {
    /// Starts a collector for OTLP over HTTP.
    pub fn http() -> Self {
        Self::start(false, None)
    }

    /// Starts a collector for gRPC, or for HTTP, that speaks TLS with this identity.
    pub fn tls(identity: &Identity, grpc: bool) -> Self {
        Self::start(grpc, Some(identity.server(if grpc { &["h2"] } else { &["http/1.1"] })))
    }

    fn start(grpc: bool, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let headers = HeaderMap::new();
        let kept = Kept { mode: CollectorMode::Takes, spans: Vec::new(), points: Vec::new(), exports: 0, headers };
        let kept = Arc::new(Mutex::new(kept));
        let (stop, stopped) = oneshot::channel();
        let (shared, secure) = (Arc::clone(&kept), tls.is_some());
        let thread = std::thread::Builder::new().name("collector".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! { () = serve(listener, grpc, tls, shared) => {}, _ = stopped => {} }
            });
        });
        Self { address, tls: secure, kept, stop: Some(stop), thread: Some(thread.unwrap()) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for a configuration.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    /// Treats what comes from now on differently.
    pub fn set_mode(&self, mode: CollectorMode) {
        self.kept.lock().unwrap().mode = mode;
    }

    /// All spans it took.
    pub fn spans(&self) -> Vec<Span> {
        self.kept.lock().unwrap().spans.clone()
    }

    /// The spans of this name that it took.
    pub fn spans_named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    /// The newest state of every series it took.
    pub fn points(&self) -> Vec<Point> {
        self.kept.lock().unwrap().points.clone()
    }

    /// The sum over a metric's series with these labels: the value, or the count of a histogram; 0 where there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let points = self.points();
        points.iter().filter(|point| point.name == name && has(&point.labels, labels)).map(|point| point.value).sum()
    }

    /// How many times it was sent something, in any mode.
    pub fn exports(&self) -> usize {
        self.kept.lock().unwrap().exports
    }

    /// The headers of the last request.
    pub fn headers(&self) -> HeaderMap {
        self.kept.lock().unwrap().headers.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, grpc: bool, tls: Option<Arc<ServerConfig>>, kept: Arc<Mutex<Kept>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (kept, tls) = (Arc::clone(&kept), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, grpc, kept).await,
                Some(tls) => {
                    if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                        connection(stream, grpc, kept).await;
                    }
                }
            }
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, grpc: bool, kept: Arc<Mutex<Kept>>) {
    let stream = TokioIo::new(stream);
    let service = service_fn(move |request| {
        let kept = Arc::clone(&kept);
        async move { Ok::<_, Infallible>(take(request, grpc, kept).await) }
    });
    // A sender that goes away is no news here.
    let _ = if grpc {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
    };
}

async fn take(request: Request<Incoming>, grpc: bool, kept: Arc<Mutex<Kept>>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return reply(grpc, false) };
    let body = body.to_bytes();
    let mode = {
        let mut kept = kept.lock().unwrap();
        kept.exports += 1;
        kept.headers = head.headers;
        kept.mode
    };
    match mode {
        CollectorMode::Hangs => std::future::pending().await,
        CollectorMode::Fails => return reply(grpc, false),
        CollectorMode::Takes => {}
    }
    let message = if grpc { unframe(&body) } else { body };
    let mut kept = kept.lock().unwrap();
    match head.uri.path() {
        "/v1/traces" | "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => {
            kept.spans.extend(decode::spans(&message));
        }
        "/v1/metrics" | "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
            for point in decode::points(&message) {
                match kept.points.iter_mut().find(|old| old.name == point.name && old.labels == point.labels) {
                    Some(old) => *old = point,
                    None => kept.points.push(point),
                }
            }
        }
        _ => return reply(grpc, false),
    }
    reply(grpc, true)
}

/// The message of a gRPC call: one frame, not compressed.
fn unframe(body: &Bytes) -> Bytes {
    assert_eq!(body[0], 0, "the message is compressed, and nobody asked for that");
    let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
    assert_eq!(body.len(), length + 5, "one message a call");
    body.slice(5..)
}

fn reply(grpc: bool, taken: bool) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if !grpc {
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/x-protobuf"));
        if !taken {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        return response;
    }
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    if taken {
        let (feed, body) = Body::fed(2);
        *response.body_mut() = body;
        // An answer that says nothing: a frame of length 0.
        tokio::spawn(async move {
            feed.send(vec![0; 5]).await;
            feed.trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]))
                .await;
        });
    } else {
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("14"));
    }
    response
}
