//! A collector on a thread of its own: OTLP over HTTP/1.1 and gRPC on one port, answering well, badly or never.
//! It knows no telemetry of ours.

use std::convert::Infallible;
use std::future;
use std::sync::{Arc, Mutex};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ok,
    Refuse,
    Never,
}

#[derive(Clone, Debug)]
pub(super) struct Received {
    path: String,
    pub authorization: String,
    pub message: Bytes,
}

pub(super) struct Collector {
    address: std::net::SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Received {
    pub(super) fn is_for(&self, signal: &str) -> bool {
        self.path.contains(signal) || self.path.contains(&format!(".{}.", signal.trim_end_matches('s')))
    }
}

impl Collector {
    pub(super) fn start(answer: Answer) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let its = Arc::clone(&received);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(serve(stream, answer, Arc::clone(&its)));
                }
            });
        });
        Self { address, received }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(super) fn spans(&self) -> usize {
        let received = self.received();
        let batches = received.iter().filter(|request| request.is_for("traces"));
        let batches = batches.map(|request| ExportTraceServiceRequest::decode(&*request.message).unwrap());
        batches.flat_map(|batch| batch.resource_spans).flat_map(|r| r.scope_spans).map(|scope| scope.spans.len()).sum()
    }
}

async fn serve(stream: tokio::net::TcpStream, answer: Answer, received: Arc<Mutex<Vec<Received>>>) {
    let mut first = [0];
    stream.peek(&mut first).await.unwrap();
    let service = service_fn(|request| handle(request, answer, Arc::clone(&received)));
    let io = TokioIo::new(stream);
    // `P` of `POST` and of `PRI` look alike, but only HTTP/2 goes on with an `R`.
    let mut two = [0; 2];
    while io.inner().peek(&mut two).await.unwrap() < 2 {}
    // A client that leaves is no fault here.
    if &two == b"PR" {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    }
}

async fn handle(
    request: Request<Incoming>,
    answer: Answer,
    received: Arc<Mutex<Vec<Received>>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let grpc = request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc");
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let mut message = request.into_body().collect().await?.to_bytes();
    if grpc {
        // Flag and length.
        message.advance(5);
    }
    match answer {
        Answer::Never => future::pending().await,
        Answer::Refuse => {}
        Answer::Ok => {
            let authorization = authorization.unwrap_or_default();
            received.lock().unwrap().push(Received { path, authorization, message });
        }
    }
    let mut response = Response::new(http_body_util::Empty::new().boxed());
    match (grpc, answer) {
        (false, Answer::Ok) => {}
        (false, _) => *response.status_mut() = StatusCode::BAD_REQUEST,
        (true, _) => {
            let status = if answer == Answer::Ok { "0" } else { "3" };
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(status))]);
            let empty = http_body_util::Full::new(Bytes::from_static(&[0; 5]));
            response = Response::new(empty.with_trailers(future::ready(Some(Ok(trailers)))).boxed());
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        }
    }
    Ok(response)
}
