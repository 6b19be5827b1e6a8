//! The service behind the demo's proxy: ordinary pages, slow ones, failing ones, and a WebSocket that echoes.
//! It does not know that a proxy stands in front of it.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::task::spawn_local;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::socket;

/// How long `/slow` takes.
const SLOW: Duration = Duration::from_millis(200);

/// Of so many reports, so many fail in a row: enough to open the breaker, and few enough that it closes again.
const REPORTS: u32 = 24;
const FAILING: std::ops::Range<u32> = 4..10;

type Page = Response<Full<Bytes>>;

/// Starts it on a free port.
pub(super) async fn start() -> io::Result<SocketAddr> {
    let reports = Rc::new(Cell::new(0));
    socket::serve(move |request| answer(request, Rc::clone(&reports))).await
}

async fn answer(mut request: Request<Incoming>, reports: Rc<Cell<u32>>) -> Page {
    let path = request.uri().path().to_owned();
    let mut segments = path.split('/').skip(1);
    match (segments.next().unwrap_or_default(), segments.next()) {
        ("ws", _) => return websocket(&mut request),
        ("slow", _) => tokio::time::sleep(SLOW).await,
        _ => {}
    }
    // Read to its end, as a service does.
    let _ = request.body_mut().collect().await;
    let mut segments = path.split('/').skip(1);
    match (segments.next().unwrap_or_default(), segments.next()) {
        ("users", Some(id)) => json(StatusCode::OK, &serde_json::json!({ "id": id, "name": format!("user {id}") })),
        ("orders", Some(id)) => json(StatusCode::OK, &serde_json::json!({ "order": id, "items": 3 })),
        ("search", _) => json(StatusCode::OK, &serde_json::json!({ "found": 0 })),
        ("static", Some(name)) => text(StatusCode::OK, format!("/* {name} */\n")),
        ("slow", _) => text(StatusCode::OK, "that took a while\n".to_owned()),
        ("reports", _) => report(&reports),
        ("", None) => text(StatusCode::OK, "the demo's origin\n".to_owned()),
        _ => text(StatusCode::NOT_FOUND, "no such page\n".to_owned()),
    }
}

fn report(reports: &Cell<u32>) -> Page {
    let number = reports.get();
    reports.set((number + 1) % REPORTS);
    if FAILING.contains(&number) {
        text(StatusCode::INTERNAL_SERVER_ERROR, "the report could not be made\n".to_owned())
    } else {
        text(StatusCode::OK, "a report\n".to_owned())
    }
}

/// Switches to WebSocket and sends back each message until the peer goes.
fn websocket(request: &mut Request<Incoming>) -> Page {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return text(StatusCode::BAD_REQUEST, "a WebSocket is here\n".to_owned());
    };
    let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) else {
        return text(StatusCode::BAD_REQUEST, "no key of a WebSocket\n".to_owned());
    };
    let upgraded = hyper::upgrade::on(request);
    drop(spawn_local(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                break;
            }
        }
    }));
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

fn json(status: StatusCode, value: &serde_json::Value) -> Page {
    page(status, "application/json", format!("{value}\n"))
}

fn text(status: StatusCode, body: String) -> Page {
    page(status, "text/plain; charset=utf-8", body)
}

fn page(status: StatusCode, kind: &'static str, body: String) -> Page {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
