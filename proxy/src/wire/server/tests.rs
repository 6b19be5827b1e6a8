//! Whole connections over pipes: HTTP/1.1 behind the guard, and HTTP/2.

use std::future::Future;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Call, Protocol, Service, Settings, serve};
use crate::wire::body::Body;
use crate::wire::config::HeadLimits;
use crate::wire::local_exec::LocalExec;
use crate::wire::reply::Problem;

/// Answers with the method, the path and the body; grants upgrades at `/upgrade`, leaves the body at `/ignore` alone, and
/// has more to say at `/endless` than anyone takes.
#[derive(Default)]
struct Echo {
    /// Opens `/slow`.
    gate: Rc<tokio::sync::Notify>,
}

impl Service for Echo {
    fn call(&self, call: Call) -> impl Future<Output = Response<Body>> + 'static {
        Self::answer(call, Rc::clone(&self.gate))
    }
}

impl Echo {
    async fn answer(call: Call, gate: Rc<tokio::sync::Notify>) -> Response<Body> {
        {
            let (parts, body) = call.request.into_parts();
            if let Err(reason) = call.verdict {
                return Problem::new(reason, &parts.method).response();
            }
            if let (Some(interim), "/hint") = (&call.interim, parts.uri.path()) {
                interim.pass(StatusCode::from_u16(103).unwrap(), Version::HTTP_11, HeaderMap::new());
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
            match parts.uri.path() {
                "/slow" => gate.notified().await,
                // An answer that is there before the request's body is.
                path @ ("/early/head" | "/early/body") => {
                    drop(tokio::task::spawn_local(body.collect()));
                    let large = "x".repeat(5000);
                    if path == "/early/body" {
                        return Response::new(Body::full(large));
                    }
                    let mut response = Response::new(Body::empty());
                    response.headers_mut().insert("large", large.parse().unwrap());
                    return response;
                }
                "/large" => return Response::new(Body::full(vec![b'x'; 40 * 1024])),
                "/ignore" => return Response::new(Body::full("ignored")),
                "/early" => {
                    drop(tokio::task::spawn_local(async move {
                        std::future::pending::<()>().await;
                        drop(body);
                    }));
                    return Response::new(Body::full("early"));
                }
                "/endless" => return Response::new(Body::full(vec![b'x'; 4 * 1024 * 1024])),
                _ => {}
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
    connect_to(Rc::new(Echo::default()), protocol, settings)
}

fn connect_to(service: Rc<Echo>, protocol: Protocol, settings: Settings) -> (DuplexStream, watch::Sender<bool>) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let (drain, draining) = watch::channel(false);
    drop(tokio::task::spawn_local(async move {
        let _ = serve(server, protocol, Instant::now(), service, settings, draining).await;
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

/// Reads one answer of known length, its head and its body.
async fn read_answer(client: &mut DuplexStream) -> String {
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8(answer.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() == length.parse::<usize>().unwrap() {
                return text;
            }
        }
        answer.push(client.read_u8().await.unwrap());
    }
}

async fn read_to_end(mut client: DuplexStream) -> String {
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    String::from_utf8_lossy(&rest).into_owned()
}

const UPGRADE: &[u8] = b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

#[test]
fn a_granted_upgrade_hands_over_the_connection_and_what_was_held_back() {
    run(async {
        let (mut client, _drain) = connect(Protocol::Detect, settings());
        client.write_all(UPGRADE).await.unwrap();
        client.write_all(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let answer = read_to_end(client).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nearly:GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"), "{answer}");
    });
}

#[test]
fn behind_an_upgrade_that_was_not_granted_comes_the_next_request() {
    let answer = answer_to(
        b"GET /no HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\
          GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    let places: Vec<_> = ["GET /no", "GET /next"].iter().map(|part| answer.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{answer}");
}

#[test]
fn an_upgrade_behind_a_pipelined_request_waits_its_turn() {
    run(async {
        let (mut client, _drain) = connect(Protocol::Http1, settings());
        client.write_all(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        client.write_all(UPGRADE).await.unwrap();
        client.write_all(b"raw").await.unwrap();
        let answer = read_to_end(client).await;
        assert!(answer.contains("GET /first") && answer.ends_with("early:raw"), "{answer}");
    });
}

/// A body that was not read stayed in the connection and was taken for the next request
/// (<https://nvd.nist.gov/vuln/detail/CVE-2025-4366>).
#[test]
fn cve_2025_4366_a_body_that_nobody_read_is_never_the_next_request() {
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for together in [true, false] {
        let answer = run(async {
            let (mut client, _drain) = connect(Protocol::Http1, settings());
            let head = format!("POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", smuggled.len());
            client.write_all(head.as_bytes()).await.unwrap();
            let mut answer = if together { String::new() } else { read_answer(&mut client).await };
            // Where the connection was closed in between, writing fails.
            let _ = client.write_all(smuggled).await;
            let _ = client.write_all(b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            answer.push_str(&read_to_end(client).await);
            answer
        });
        assert!(answer.contains("ignored") && !answer.contains("smuggled"), "{answer}");
    }
}

#[test]
fn an_answer_does_not_wait_for_a_body_that_is_not_read() {
    run(async {
        let (mut client, _drain) = connect(Protocol::Http1, settings());
        client.write_all(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n").await.unwrap();
        client.write_all(&[b'x'; 30_000]).await.unwrap();
        assert!(read_answer(&mut client).await.ends_with("early"));
    });
}

#[test]
fn a_client_that_sends_more_than_anyone_reads_gets_its_answer() {
    run(async {
        let (mut client, _drain) = connect(Protocol::Http1, settings());
        client.write_all(b"POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n").await.unwrap();
        client.write_all(&[b'x'; 60_000]).await.unwrap();
        assert!(read_answer(&mut client).await.ends_with("ignored"));
    });
}

#[test]
fn a_broken_body_is_answered_with_its_reason() {
    for (body, reason) in [("3\r\nabcX", "malformed_body"), ("zz\r\n", "malformed_body")] {
        let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = answer_to(format!("{head}{body}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(reason), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[test]
fn a_bad_answer_to_head_has_no_body() {
    let answer = answer_to(b"HEAD / HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_client_is_told_to_go_on_when_its_body_is_wanted() {
    run(async {
        let (mut client, _drain) = connect(Protocol::Http1, settings());
        let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        client.write_all(head).await.unwrap();
        assert!(read_answer(&mut client).await.starts_with("HTTP/1.1 100 Continue"));
        client.write_all(b"abc").await.unwrap();
        assert!(read_answer(&mut client).await.ends_with("POST / abc"));
    });
}

fn impatient() -> Settings {
    let brief = Duration::from_millis(50);
    Settings { head: HeadLimits { timeout: brief, ..settings().head }, idle_timeout: brief }
}

#[test]
fn who_says_nothing_is_closed_without_an_answer() {
    for protocol in [Protocol::Detect, Protocol::Http1] {
        run(async {
            let (client, _drain) = connect(protocol, impatient());
            assert_eq!(read_to_end(client).await, "");
        });
    }
}

#[test]
fn a_head_that_takes_too_long_is_answered() {
    for protocol in [Protocol::Detect, Protocol::Http1] {
        run(async {
            let (mut client, _drain) = connect(protocol, impatient());
            client.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
            let answer = read_to_end(client).await;
            assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("head_timeout"), "{answer}");
        });
    }
}

#[test]
fn a_connection_that_is_idle_is_closed_and_a_second_head_is_timed() {
    run(async {
        let (mut client, _drain) = connect(Protocol::Http1, impatient());
        client.write_all(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        read_answer(&mut client).await;
        assert_eq!(read_to_end(client).await, "");

        let (mut client, _drain) = connect(Protocol::Http1, impatient());
        client.write_all(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET").await.unwrap();
        read_answer(&mut client).await;
        assert!(read_to_end(client).await.starts_with("HTTP/1.1 408 "));
    });
}

#[test]
fn a_client_that_waits_for_its_answer_is_not_idle() {
    run(async {
        let service = Rc::new(Echo::default());
        let (mut client, _drain) = connect_to(Rc::clone(&service), Protocol::Http1, impatient());
        client.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /ne").await.unwrap();
        // Two connections one after the other run into the time that ours must outlive.
        for _ in 0..2 {
            let (silent, _drain) = connect(Protocol::Http1, impatient());
            read_to_end(silent).await;
        }
        service.gate.notify_one();
        assert!(read_answer(&mut client).await.ends_with("GET /slow "));
        client.write_all(b"xt HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(read_answer(&mut client).await.ends_with("GET /next "));
    });
}

#[test]
fn a_client_that_leaves_ends_its_exchange() {
    run(async {
        let service = Rc::new(Echo::default());
        let (mut client, _drain) = connect_to(Rc::clone(&service), Protocol::Http1, settings());
        client.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        drop(client);
        // The connection held the service; with it the exchange is gone.
        while Rc::strong_count(&service) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(Rc::strong_count(&service.gate), 1);
    });
}

#[test]
fn a_body_that_stops_is_answered() {
    run(async {
        let (mut client, _drain) = connect(Protocol::Http1, impatient());
        client.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na").await.unwrap();
        let answer = read_to_end(client).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"), "{answer}");
    });
}

#[test]
fn who_takes_nothing_of_an_answer_is_closed() {
    run(async {
        let (client, server) = tokio::io::duplex(1024);
        let (_drain, draining) = watch::channel(false);
        let (near, mut writer) = tokio::io::split(client);
        writer.write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let served =
            serve(server, Protocol::Http1, Instant::now(), Rc::new(Echo::default()), impatient(), draining).await;
        assert!(served.is_err());
        drop(near);
    });
}

#[test]
fn draining_closes_what_is_idle_and_finishes_what_is_not() {
    run(async {
        let (mut idle, drain) = connect(Protocol::Http1, settings());
        idle.write_all(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        read_answer(&mut idle).await;
        drain.send_replace(true);
        assert_eq!(read_to_end(idle).await, "");

        let (mut busy, drain) = connect(Protocol::Http1, settings());
        busy.write_all(b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na").await.unwrap();
        tokio::task::yield_now().await;
        drain.send_replace(true);
        tokio::task::yield_now().await;
        busy.write_all(b"bc").await.unwrap();
        let answer = read_to_end(busy).await;
        assert!(answer.ends_with("POST /2 abc") && answer.contains("connection: close"), "{answer}");

        let (mut midway, drain) = connect(Protocol::Http1, settings());
        midway.write_all(b"GET /3 HTTP/1.1\r\nHo").await.unwrap();
        tokio::task::yield_now().await;
        drain.send_replace(true);
        tokio::task::yield_now().await;
        midway.write_all(b"st: x\r\n\r\n").await.unwrap();
        let answer = read_to_end(midway).await;
        assert!(answer.ends_with("GET /3 "), "{answer}");

        let (silent, drain) = connect(Protocol::Detect, settings());
        tokio::task::yield_now().await;
        drain.send_replace(true);
        assert_eq!(read_to_end(silent).await, "");

        for protocol in [Protocol::Detect, Protocol::Http1] {
            let (mut young, drain) = connect(protocol, settings());
            drain.send_replace(true);
            tokio::task::yield_now().await;
            young.write_all(b"GET /4 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let answer = read_to_end(young).await;
            assert!(answer.ends_with("GET /4 "), "{answer}");
        }
    });
}

/// An HTTP/2 client, on a connection that `protocol` has to make out.
async fn http2(
    protocol: Protocol,
    settings: Settings,
) -> (hyper::client::conn::http2::SendRequest<Body>, tokio::task::JoinHandle<()>, watch::Sender<bool>) {
    let (client, drain) = connect(protocol, settings);
    let io = hyper_util::rt::TokioIo::new(client);
    let (sender, connection) = hyper::client::conn::http2::handshake(LocalExec, io).await.unwrap();
    let ended = tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    (sender, ended, drain)
}

fn request(uri: &str, fields: &[(&'static str, &'static str)]) -> http::Request<Body> {
    let mut request = http::Request::post(uri).body(Body::full("abc")).unwrap();
    for &(name, value) in fields {
        request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    request
}

#[test]
fn http2_is_served_with_prior_knowledge_and_by_alpn() {
    for protocol in [Protocol::Detect, Protocol::Http2] {
        run(async {
            let (mut sender, _ended, _drain) = http2(protocol, settings()).await;
            let response = sender.send_request(request("http://x/a", &[])).await.unwrap();
            assert_eq!(response.version(), Version::HTTP_2);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "POST http://x/a abc");
        });
    }
}

#[test]
fn http2_requests_that_contradict_themselves_are_refused() {
    run(async {
        let (mut sender, _ended, _drain) = http2(Protocol::Http2, settings()).await;
        let plain = ("accept", "a");
        let cases = [
            ("http://x/", ("host", "y")),
            ("http://u@x/", plain),
            ("http://x/", ("host", "x/y")),
            // What is refused over HTTP/1, too.
            ("http://x/a\\b", plain),
            ("http://x/\"a\"", plain),
            ("http://x/a^b", plain),
            ("http://x/?a=\u{e9}", plain),
        ];
        for (uri, field) in cases {
            let response = sender.send_request(request(uri, &[field])).await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{uri} {field:?}");
        }
        let response = sender.send_request(request("http://x/", &[("host", "X")])).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    });
}

#[test]
fn an_idle_or_draining_http2_connection_is_closed() {
    run(async {
        let (mut sender, ended, _drain) = http2(Protocol::Http2, impatient()).await;
        sender.send_request(request("http://x/", &[])).await.unwrap();
        ended.await.unwrap();

        let (mut sender, ended, drain) = http2(Protocol::Http2, settings()).await;
        sender.send_request(request("http://x/", &[])).await.unwrap();
        drain.send_replace(true);
        ended.await.unwrap();
    });
}

/// The preface alone, or a head whose rest never comes, got the idle timeout instead of the head's.
#[test]
fn an_http2_client_owes_its_first_head_as_any_client_does() {
    let patient = Settings { head: impatient().head, idle_timeout: Duration::from_secs(600) };
    // An empty SETTINGS frame; HEADERS of stream 1 without END_HEADERS.
    let settings = b"\0\0\0\x04\0\0\0\0\0".as_slice();
    let half_a_head = b"\0\0\x01\x01\x01\0\0\0\x01\x82".as_slice();
    for rest in [b"".as_slice(), settings, &[settings, half_a_head].concat()] {
        run(async {
            let (mut client, _drain) = connect(Protocol::Detect, patient);
            client.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), rest].concat()).await.unwrap();
            client.read_to_end(&mut Vec::new()).await.unwrap();
        });
    }
}

#[test]
fn an_http2_client_that_takes_nothing_is_closed() {
    run(async {
        let (mut sender, ended, _drain) = http2(Protocol::Http2, impatient()).await;
        // The windows fill up, since the body is held and not read.
        let _unread = sender.send_request(request("http://x/endless", &[])).await.unwrap();
        ended.await.unwrap();
    });
}

/// A socket that is closed with unread input is reset, and the reset can overtake the answer.
#[test]
fn a_refused_client_that_goes_on_sending_reads_its_answer() {
    run(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_drain, draining) = watch::channel(false);
        drop(tokio::task::spawn_local(async move {
            let (server, _) = listener.accept().await.unwrap();
            serve(server, Protocol::Detect, Instant::now(), Rc::new(Echo::default()), settings(), draining).await
        }));
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/9.9\r\n\r\n").await.unwrap();
        client.write_all(&vec![b'x'; 200_000]).await.unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 400");
    });
}

#[test]
fn loopback_works_like_a_pipe() {
    run(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_drain, draining) = watch::channel(false);
        drop(tokio::task::spawn_local(async move {
            let (server, _) = listener.accept().await.unwrap();
            serve(server, Protocol::Http1, Instant::now(), Rc::new(Echo::default()), settings(), draining).await
        }));
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("GET /1") && answer.contains("GET /2"), "{answer}");
    });
}

#[test]
fn hints_go_between_two_answers_or_nowhere() {
    run(async {
        let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let asked = [ask("/hint"), ask("/large"), ask("/hint"), ask("/hint"), ask("/large"), ask("/hint")].concat();
        let asked = format!("{asked}GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let large = "x".repeat(40 * 1024);
        let expected = ["GET /hint ", &large, "GET /hint ", "GET /hint ", &large, "GET /hint ", "GET /end "];
        for room in [1, 300, 4096, 20_000, 40 * 1024, 41 * 1024, 200_000] {
            let (mut client, server) = tokio::io::duplex(room);
            let (_drain, draining) = watch::channel(false);
            let service = Rc::new(Echo::default());
            drop(tokio::task::spawn_local(async move {
                let _ = serve(server, Protocol::Http1, Instant::now(), service, settings(), draining).await;
            }));
            let (mut reader, mut writer) = tokio::io::split(&mut client);
            let mut answers = Vec::new();
            let (sent, read) = tokio::join!(writer.write_all(asked.as_bytes()), reader.read_to_end(&mut answers));
            sent.and(read.map(drop)).unwrap();
            let answers = String::from_utf8(answers).unwrap();
            let (mut rest, mut bodies, mut hints, mut hinted) = (answers.as_str(), Vec::new(), 0, false);
            while let Some((head, after)) = rest.split_once("\r\n\r\n") {
                rest = after;
                if head == "HTTP/1.1 103 Early Hints\r\nvia: 1.1 tidegate" {
                    (hints, hinted) = (hints + 1, true);
                    continue;
                }
                assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{room}: {head}");
                let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
                let (body, after) = after.split_at(length);
                assert!(!std::mem::take(&mut hinted) || body == "GET /hint ", "{room}: a hint of another request");
                bodies.push(body);
                rest = after;
            }
            assert!(bodies == expected, "{room}: {:?}", bodies.iter().map(|body| body.len()).collect::<Vec<_>>());
            assert_eq!(hints, 4, "{room}");
        }
    });
}

/// All that is answered to an early answer's request and one behind it, by the request's body.
async fn answers_behind_an_early_one(early: &str, next: &str) -> String {
    let (mut client, server) = tokio::io::duplex(300);
    let (_drain, draining) = watch::channel(false);
    let service = Rc::new(Echo::default());
    drop(tokio::task::spawn_local(async move {
        let _ = serve(server, Protocol::Http1, Instant::now(), service, settings(), draining).await;
    }));
    client
        .write_all(format!("POST {early} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answers = vec![client.read_u8().await.unwrap()];
    // The early answer is far from out when the body's end lets hyper read the next request.
    let next = format!("bodyGET {next} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    client.write_all(next.as_bytes()).await.unwrap();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    client.read_to_end(&mut answers).await.unwrap();
    assert!(begun.elapsed() < settings().idle_timeout / 2, "the next request waited for a timer");
    let answers = String::from_utf8(answers).unwrap();
    let (before, rest) = answers.split_at(answers.rfind('x').unwrap() + 1);
    assert!(before.starts_with("HTTP/1.1 200 OK\r\n") && before.contains(&"x".repeat(5000)), "{before}");
    rest.to_owned()
}

#[test]
fn a_request_behind_an_early_answer_is_served_at_once() {
    run(async {
        let rest = answers_behind_an_early_one("/early/body", "/second").await;
        assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("\r\n\r\nGET /second "), "{rest}");
        let rest = answers_behind_an_early_one("/early/body", "/hint").await;
        assert!(rest.starts_with("HTTP/1.1 103 Early Hints\r\n") && rest.ends_with("\r\n\r\nGET /hint "), "{rest}");
    });
}

#[test]
fn a_hint_that_would_come_within_another_answer_is_dropped() {
    run(async {
        // Here the next request is served while the head before is on its way.
        let rest = answers_behind_an_early_one("/early/head", "/hint").await;
        let next = rest.split_once("HTTP/1.1").unwrap().1;
        assert!(next.starts_with(" 200 OK\r\n") && next.ends_with("\r\n\r\nGET /hint "), "{rest}");
    });
}
