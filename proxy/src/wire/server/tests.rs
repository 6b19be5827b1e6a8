use std::future::Future;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Call, Protocol, Service, Settings, serve};
use crate::wire::body::Body;
use crate::wire::config::HeadLimits;
use crate::wire::reply::Problem;

/// Answers with the method, the path and the body; grants upgrades below `/upgrade`.
struct Echo;

impl Service for Echo {
    fn call(&self, call: Call) -> impl Future<Output = Response<Body>> + 'static {
        async move {
            let (parts, body) = call.request.into_parts();
            if let Err(reason) = call.verdict {
                return Problem::new(reason, &parts.method).response();
            }
            if let (Some(upgrade), "/upgrade") = (call.upgrade, parts.uri.path()) {
                drop(tokio::task::spawn_local(async move {
                    let Some(mut upgraded) = upgrade.upgraded().await else { return };
                    upgraded.io.write_all(b"early:").await.unwrap();
                    upgraded.io.write_all(&upgraded.early).await.unwrap();
                    upgraded.io.shutdown().await.unwrap();
                }));
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                return response;
            }
            match body.collect().await {
                Ok(body) => {
                    let mut text = format!("{} {} ", parts.method, parts.uri).into_bytes();
                    text.extend_from_slice(&body.to_bytes());
                    Response::new(Body::full(text))
                }
                Err(error) => Problem::new(error.reason, &Method::GET).response(),
            }
        }
    }
}

fn settings() -> Settings {
    Settings {
        head: HeadLimits { max_size: 8192, max_headers: 20, timeout: Duration::from_secs(10) },
        idle_timeout: Duration::from_secs(10),
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::LocalRuntime::new().unwrap();
    runtime.block_on(future)
}

/// A client's end of a connection that is served, and the switch that drains it.
fn connect(protocol: Protocol, settings: Settings) -> (DuplexStream, watch::Sender<bool>) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let (drain, draining) = watch::channel(false);
    drop(tokio::task::spawn_local(async move {
        let _ = serve(server, protocol, Instant::now(), Rc::new(Echo), settings, draining).await;
    }));
    (client, drain)
}

/// All that the proxy answers to `bytes` until it closes.
fn answer_to(bytes: &[u8]) -> String {
    run(async {
        let (mut client, _drain) = connect(Protocol::Detect, settings());
        client.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    })
}

#[test]
fn a_good_request_is_served() {
    let answer = answer_to(b"GET /a?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nGET /a?b "), "{answer}");
}

#[test]
fn a_bad_head_is_answered_with_its_reason_and_the_connection_closes() {
    let answer =
        answer_to(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.contains(r#""reason":"malformed_head""#), "{answer}");
}

#[test]
fn answers_to_pipelined_requests_keep_their_order() {
    let answer = answer_to(
        b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcPOST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
          3;x=\"y\"\r\ndef\r\n0\r\n\r\nGET /3 HTTP/9.9\r\nHost: x\r\n\r\nGET /4 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    let places: Vec<_> =
        ["POST /1 abc", "POST /2 def", "malformed_head"].iter().map(|part| answer.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{answer}");
    assert!(!answer.contains("/4"), "{answer}");
}

#[test]
fn loopback_works_like_a_pipe() {
    run(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_drain, draining) = watch::channel(false);
        drop(tokio::task::spawn_local(async move {
            let (server, _) = listener.accept().await.unwrap();
            serve(server, Protocol::Http1, Instant::now(), Rc::new(Echo), settings(), draining).await
        }));
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("GET /1") && answer.contains("GET /2"), "{answer}");
    });
}
