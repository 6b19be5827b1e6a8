//! The demo's OTLP collector: takes traces and metrics over HTTP with protobuf.
//! It does not know what is shown of them.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::observed::Observed;
use super::socket;

/// More than the exporter sends in one piece.
const LARGEST: usize = 64 << 20;

/// Starts it on a free port.
pub(super) async fn start(observed: Rc<RefCell<Observed>>) -> io::Result<SocketAddr> {
    socket::serve(move |request| receive(request, Rc::clone(&observed))).await
}

async fn receive(request: Request<Incoming>, observed: Rc<RefCell<Observed>>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let Ok(body) = Limited::new(request.into_body(), LARGEST).collect().await else {
        return answer(StatusCode::BAD_REQUEST);
    };
    let body = body.to_bytes();
    let taken = match path.as_str() {
        "/v1/traces" => ExportTraceServiceRequest::decode(body).map(|export| {
            let resources = export.resource_spans.into_iter();
            let scopes = resources.flat_map(|resource| resource.scope_spans);
            let spans: Vec<_> = scopes.flat_map(|scope| scope.spans).collect();
            observed.borrow_mut().take_spans(&spans);
        }),
        "/v1/metrics" => ExportMetricsServiceRequest::decode(body).map(|export| {
            let resources = export.resource_metrics.into_iter();
            let scopes = resources.flat_map(|resource| resource.scope_metrics);
            observed.borrow_mut().take_metrics(scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name));
        }),
        _ => return answer(StatusCode::NOT_FOUND),
    };
    answer(if taken.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST })
}

/// An empty message says that all was taken.
fn answer(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    response
}
