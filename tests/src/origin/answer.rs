//! What the origin answers to a path.
//! It accepts no connections and counts none.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Log, Seen};
use crate::body::{Body, BodyError};

/// How much of a request's body is kept to look at.
const KEPT: usize = 64 * 1024;

pub(super) async fn answer(mut request: Request<Incoming>, log: Arc<Log>) -> Result<Response<Body>, BodyError> {
    let number = note(&request, &log);
    let path = request.uri().path().to_owned();
    let mut words = path.split('/').skip(1);
    let what = words.next().unwrap_or_default();
    let mut number_word = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
    match what {
        "early" => return Ok(text("early")),
        "echo" => return Ok(echo(request, log, number)),
        "websocket" => return Ok(websocket(&mut request, log)),
        _ => {}
    }
    let reply = describe(&request);
    let is_head = request.method() == http::Method::HEAD;
    read(request.into_body(), &log, number).await?;
    Ok(match what {
        "status" => {
            let mut response = text("as asked");
            *response.status_mut() = StatusCode::from_u16(u16::try_from(number_word()).unwrap()).unwrap();
            response
        }
        "slow" => {
            tokio::time::sleep(Duration::from_millis(number_word())).await;
            text("slow")
        }
        "hang" => std::future::pending().await,
        "drop" => return Err(BodyError::other("dropped as asked")),
        // Over HTTP/2 hyper would send a body to HEAD too.
        "bytes" if is_head => {
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert("content-length", number_word().into());
            response
        }
        "bytes" => Response::new(Body::Made(number_word())),
        "stream" => stream(number_word(), log),
        "drip" => drip(number_word(), Duration::from_millis(number_word())),
        "stall" => unfinished(false),
        "cut" => unfinished(true),
        "trailers" => trailers(),
        _ => {
            let mut response = text(reply);
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
            response
        }
    })
}

fn note(request: &Request<Incoming>, log: &Log) -> usize {
    let host = request.headers().get("host").map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let mut seen = log.seen.lock().unwrap();
    seen.push(Seen {
        method: request.method().to_string(),
        path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        host: request.uri().authority().map(ToString::to_string).or(host).unwrap_or_default(),
        version: request.version(),
        headers: request.headers().clone(),
        body: Bytes::new(),
        body_bytes: 0,
        trailers: None,
    });
    seen.len() - 1
}

fn describe(request: &Request<Incoming>) -> String {
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]));
    let target = request.uri().path_and_query().map(ToString::to_string);
    json!({ "method": request.method().as_str(), "path": target, "headers": headers.collect::<Vec<_>>() }).to_string()
}

/// Reads a body to its end and notes it.
async fn read(mut body: Incoming, log: &Log, number: usize) -> Result<(), BodyError> {
    while let Some(frame) = body.frame().await {
        note_frame(&frame.map_err(BodyError::other)?, log, number);
    }
    Ok(())
}

fn note_frame(frame: &http_body::Frame<Bytes>, log: &Log, number: usize) {
    let mut seen = log.seen.lock().unwrap();
    let seen = &mut seen[number];
    if let Some(data) = frame.data_ref() {
        seen.body_bytes += data.len() as u64;
        if seen.body.len() < KEPT {
            seen.body = [seen.body.as_ref(), &data[..data.len().min(KEPT - seen.body.len())]].concat().into();
        }
    } else {
        seen.trailers = frame.trailers_ref().cloned();
    }
}

fn text(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(Body::from(text))
}

fn echo(request: Request<Incoming>, log: Arc<Log>, number: usize) -> Response<Body> {
    let (feed, echoed) = Body::fed(1);
    tokio::spawn(async move {
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return feed.fail().await };
            note_frame(&frame, &log, number);
            let taken = match frame.into_data() {
                Ok(data) => feed.send(data).await,
                Err(frame) => feed.trailers(frame.into_trailers().unwrap_or_default()).await,
            };
            if !taken {
                return;
            }
        }
    });
    Response::new(echoed)
}

fn stream(pieces: u64, log: Arc<Log>) -> Response<Body> {
    let (feed, body) = Body::fed(1);
    tokio::spawn(async move {
        for _ in 0..pieces {
            if !feed.send(vec![b's'; 1024]).await {
                return;
            }
            log.pieces.fetch_add(1, Ordering::SeqCst);
        }
    });
    Response::new(body)
}

fn drip(pieces: u64, every: Duration) -> Response<Body> {
    let (feed, body) = Body::fed(1);
    tokio::spawn(async move {
        for _ in 0..pieces {
            if !feed.send("dripdrip").await {
                return;
            }
            tokio::time::sleep(every).await;
        }
    });
    Response::new(body)
}

/// Ten bytes of a hundred, and then silence or a cut.
fn unfinished(cut: bool) -> Response<Body> {
    let (feed, body) = Body::fed(1);
    tokio::spawn(async move {
        feed.send("0123456789").await;
        if cut {
            feed.fail().await;
        } else {
            std::future::pending::<()>().await;
        }
    });
    let mut response = Response::new(body);
    response.headers_mut().insert("content-length", HeaderValue::from_static("100"));
    response
}

fn trailers() -> Response<Body> {
    let (feed, body) = Body::fed(2);
    tokio::spawn(async move {
        feed.send("with trailers").await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("abc"));
        feed.trailers(trailers).await;
    });
    let mut response = Response::new(body);
    response.headers_mut().insert("trailer", HeaderValue::from_static("x-checksum"));
    response
}

fn websocket(request: &mut Request<Incoming>, log: Arc<Log>) -> Response<Body> {
    let Some(key) = request.headers().get("sec-websocket-key") else {
        let mut response = text("a WebSocket lives here");
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return response;
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert("upgrade", HeaderValue::from_static("websocket"));
    headers.insert("connection", HeaderValue::from_static("upgrade"));
    headers.insert("sec-websocket-accept", derive_accept_key(key.as_bytes()).parse().unwrap());
    if let Some(protocols) = request.headers().get("sec-websocket-protocol") {
        let first = protocols.to_str().unwrap().split(',').next().unwrap().trim();
        headers.insert("sec-websocket-protocol", first.parse().unwrap());
    }
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                log.messages.fetch_add(1, Ordering::SeqCst);
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        }
    });
    response
}
