//! Over HTTP/1.1: what is reused, what never is, and what each misfortune is called.
//! It knows nothing of how connections are kept.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::origin::{Origin, Peer};
use super::*;
use crate::wire::body::BodyError;

/// A request's body that the test feeds, piece by piece.
#[derive(Debug)]
struct Pieces(mpsc::UnboundedReceiver<&'static str>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
    }
}

fn post(path: &str, body: &'static str) -> Request<Body> {
    request(Method::POST, path, Body::full(body))
}

async fn echo() -> Origin {
    Origin::new(|_, peer| peer.echo()).await
}

/// A service that answers each connection's first request with `answer`, then waits for us to close.
async fn answers(answer: &'static str) -> Origin {
    Origin::new(move |_, mut peer: Peer| async move {
        while peer.head().await.is_some() {
            peer.write(answer).await;
        }
    })
    .await
}

#[test]
fn a_connection_carries_one_request_after_the_other() {
    run(async {
        let origin = echo().await;
        let bench = Bench::new();
        let client = bench.client(&upstream(&[&origin]));
        assert_eq!(fetch(&client, get("/a")).await.unwrap(), (200, "/a".into(), false));
        assert_eq!(fetch(&client, get("/b?c")).await.unwrap(), (200, "/b?c".into(), true));
        assert_eq!(fetch(&client, post("/d", "")).await.unwrap(), (200, "/d".into(), true));
        assert_eq!(origin.connections(), 1);
    });
}

#[test]
fn requests_at_the_same_time_have_connections_of_their_own_and_the_idle_ones_are_bounded() {
    run(async {
        let origin = echo().await;
        let bench = Bench::new();
        let mut config = upstream(&[&origin]);
        config.pool.idle_per_endpoint = 1;
        let client = bench.client(&config);
        let (one, two) = (send(&client, get("/1")).await.unwrap(), send(&client, get("/2")).await.unwrap());
        assert_eq!(read(one).await.1, "/1");
        assert_eq!(read(two).await.1, "/2");
        assert!(fetch(&client, get("/3")).await.unwrap().2);
        assert_eq!(origin.connections(), 2);
        let (three, four) = (send(&client, get("/4")).await.unwrap(), send(&client, get("/5")).await.unwrap());
        assert_eq!((three.reused, four.reused), (true, false));
    });
}

#[test]
fn a_new_version_of_the_configuration_takes_the_connections_over() {
    run(async {
        let origin = echo().await;
        let bench = Bench::new();
        let mut config = upstream(&[&origin]);
        let client = bench.client(&config);
        fetch(&client, get("/")).await.unwrap();
        config.timeouts.head = Duration::from_secs(7);
        let next = bench.client(&config);
        drop(client);
        bench.pools.reap();
        assert!(fetch(&next, get("/")).await.unwrap().2);
        config.name = "others".into();
        let other = bench.client(&config);
        assert!(!fetch(&other, get("/")).await.unwrap().2, "another upstream has connections of its own");
    });
}

#[test]
fn connections_too_old_or_idle_too_long_are_not_used_again() {
    run(async {
        let origin = echo().await;
        for (idle_timeout, lifetime) in [(Duration::ZERO, Duration::MAX), (Duration::MAX, Duration::ZERO)] {
            let bench = Bench::new();
            let mut config = upstream(&[&origin]);
            config.pool = Pool { idle_per_endpoint: 8, idle_timeout, lifetime };
            let client = bench.client(&config);
            fetch(&client, get("/")).await.unwrap();
            assert!(!fetch(&client, get("/")).await.unwrap().2);
        }
    });
}

/// <https://nvd.nist.gov/vuln/detail/CVE-2025-4366>: what is left of a body must not be taken for the next message.
#[test]
fn a_response_that_was_not_read_to_its_end_never_gives_its_connection_back() {
    run(async {
        let origin = answers("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nbeginning").await;
        let bench = Bench::new();
        let client = bench.client(&upstream(&[&origin]));
        for _ in 0..3 {
            let answer = send(&client, get("/")).await.unwrap();
            assert!(!answer.reused);
            drop(answer);
        }
    });
}

/// <https://nvd.nist.gov/vuln/detail/CVE-2025-4366>, the other direction.
#[test]
fn a_request_that_was_not_sent_to_its_end_never_gives_its_connection_back() {
    run(async {
        let origin = answers("HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno").await;
        let bench = Bench::new();
        let client = bench.client(&upstream(&[&origin]));
        let mut feeds = Vec::new();
        for _ in 0..3 {
            let (feed, body) = mpsc::unbounded_channel();
            feeds.push(feed);
            let request = Request::post("/").header("host", "h").body(Body::made(Box::pin(Pieces(body)))).unwrap();
            let Answer { body, lease, reused, .. } = send(&client, request).await.unwrap();
            assert!(!reused);
            assert_eq!(body.collect().await.unwrap().to_bytes(), "no");
            drop(lease);
        }
        assert_eq!(origin.connections(), 3);
    });
}

#[test]
fn the_head_timeout_counts_from_the_end_of_the_request() {
    run(async {
        let (arrived, first) = oneshot::channel();
        let arrived = std::cell::RefCell::new(Some(arrived));
        let origin = Origin::new(move |_, mut peer: Peer| {
            let arrived = arrived.borrow_mut().take().unwrap();
            async move {
                peer.until("first").await;
                arrived.send(()).unwrap();
                peer.closed().await;
            }
        })
        .await;
        let bench = Bench::new();
        let mut config = upstream(&[&origin]);
        config.timeouts.head = Duration::ZERO;
        let client = bench.client(&config);
        let (feed, body) = mpsc::unbounded_channel();
        feed.send("first").unwrap();
        let request = Request::post("/").header("host", "h").body(Body::made(Box::pin(Pieces(body)))).unwrap();
        let feed = async move {
            first.await.unwrap();
            drop(feed);
        };
        let (answer, ()) = tokio::join!(send(&client, request), feed);
        assert_eq!(answer.unwrap_err().reason, Reason::UpstreamHeadTimeout);
    });
}

/// A request's body whose client breaks the rules after the first piece.
#[derive(Debug)]
struct Broken(bool);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let begun = std::mem::replace(&mut self.0, true);
        let error = BodyError { reason: Reason::MalformedBody };
        Poll::Ready(Some(if begun { Err(error) } else { Ok(Frame::data(Bytes::from_static(b"piece"))) }))
    }
}

#[test]
fn a_request_body_that_breaks_is_blamed_on_the_client() {
    run(async {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let origin = match protocol {
                Protocol::Http1 => Origin::new(|_, mut peer: Peer| async move { peer.closed().await }).await,
                Protocol::Http2 => http2::origin(100, &Rc::default()).await,
            };
            let bench = Bench::new();
            let config = Upstream { protocol, ..upstream(&[&origin]) };
            let client = bench.client(&config);
            let request = Request::post("/body").header("host", "h").body(Body::made(Box::pin(Broken(false)))).unwrap();
            let error = send(&client, request).await.unwrap_err();
            assert!(matches!((error.reason, error.retry), (Reason::MalformedBody, Retry::Never)), "{error:?}");
        }
    });
}

#[test]
fn each_misfortune_has_its_reason_and_none_is_sent_again() {
    run(async {
        for (answer, reason) in [
            ("", Reason::UpstreamClosed),
            ("HTTP/1.1 200 OK\r\ncontent-le", Reason::UpstreamClosed),
            ("SSH-2.0-OpenSSH_9.2\r\n", Reason::UpstreamProtocol),
            ("HTTP/1.1 abc\r\n\r\n", Reason::UpstreamProtocol),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", Reason::UpstreamProtocol),
            ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", Reason::UpstreamProtocol),
            ("HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n", Reason::UpstreamProtocol),
        ] {
            let origin = Origin::new(move |_, mut peer: Peer| async move {
                peer.head().await;
                peer.write(answer).await;
            })
            .await;
            let bench = Bench::new();
            let client = bench.client(&upstream(&[&origin]));
            let (seen, again) = refused(&client, get("/")).await;
            assert_eq!((seen, again.is_some()), (reason, false), "{answer:?}");
        }
    });
}

#[test]
fn a_service_that_does_not_answer_is_given_up_with_its_connection() {
    run(async {
        let origin = Origin::new(|_, mut peer: Peer| async move { peer.closed().await }).await;
        let bench = Bench::new();
        let mut config = upstream(&[&origin]);
        config.timeouts.head = Duration::from_millis(1);
        let client = bench.client(&config);
        for connections in 1..=2 {
            let (reason, again) = refused(&client, get("/")).await;
            assert_eq!((reason, again.is_some()), (Reason::UpstreamHeadTimeout, false));
            assert_eq!(origin.connections(), connections);
        }
    });
}

#[test]
fn where_nobody_listens_another_endpoint_may_be_tried() {
    run(async {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let origin = echo().await;
        let bench = Bench::new();
        let mut config = upstream(&[]);
        config.endpoints.push(endpoint("127.0.0.1", gone.port()));
        let (reason, again) = refused(&bench.client(&config), get("/")).await;
        assert_eq!((reason, again.is_some()), (Reason::ConnectFailed, false));
        config.endpoints.push(endpoint("127.0.0.1", origin.address.port()));
        let client = bench.client(&config);
        let (reason, mut again) = refused(&client, post("/again", "body")).await;
        assert_eq!(reason, Reason::ConnectFailed);
        let other = client.pick(Some(0)).unwrap();
        assert_eq!(read(client.send(other, &mut again, Behalf::default()).await.unwrap()).await.1, "/again");
    });
}

#[test]
fn a_name_is_resolved_and_one_that_is_not_known_fails() {
    run(async {
        let origin = echo().await;
        let bench = Bench::new();
        let mut config = upstream(&[]);
        config.endpoints = vec![endpoint("localhost", origin.address.port())];
        assert_eq!(fetch(&bench.client(&config), get("/")).await.unwrap().0, 200);
        config.endpoints = vec![endpoint("no-such-name.invalid", 80)];
        assert_eq!(refused(&bench.client(&config), get("/")).await.0, Reason::ConnectFailed);
    });
}

#[test]
fn a_kept_connection_that_dies_under_a_request_may_be_replaced_where_that_is_safe() {
    run(async {
        let origin = Origin::new(|_, mut peer: Peer| async move {
            peer.head().await;
            peer.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            // Takes another request, and leaves without a word.
            peer.head().await;
        })
        .await;
        let bench = Bench::new();
        let client = bench.client(&upstream(&[&origin]));
        for (request, safe) in [
            (get("/x?y"), true),
            (get("http://elsewhere.test/x"), true),
            (request(Method::DELETE, "/", Body::empty()), true),
            (request(Method::POST, "/", Body::empty()), false),
            (request(Method::PUT, "/", Body::full("body")), false),
        ] {
            fetch(&client, get("/")).await.unwrap();
            let mut request = request;
            for (name, value) in [("x-a", "1"), ("x-empty", ""), ("x-b", "2"), ("x-a", "3")] {
                request.headers_mut().append(name, value.parse().unwrap());
            }
            let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
            let (reason, again) = refused(&client, request).await;
            assert_eq!((reason, again.is_some()), (Reason::UpstreamClosed, safe), "{method}");
            if let Some(again) = again {
                assert_eq!((again.method(), again.uri()), (&method, &uri));
                assert!(again.headers().iter().eq(&headers), "{:?}", again.headers());
            }
        }
    });
}

#[test]
fn a_kept_connection_that_was_closed_between_requests_is_noticed() {
    run(async {
        let (closed, gone) = oneshot::channel::<()>();
        let closed = std::cell::RefCell::new(Some(closed));
        let origin = Origin::new(move |number, mut peer: Peer| {
            let closed = closed.borrow_mut().take();
            async move {
                if number > 0 {
                    return peer.echo().await;
                }
                peer.head().await;
                peer.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                drop((peer, closed));
            }
        })
        .await;
        let bench = Bench::new();
        let client = bench.client(&upstream(&[&origin]));
        fetch(&client, get("/")).await.unwrap();
        let _ = gone.await;
        // Noticed before the request, or when it is handed over: either way it gets its answer with one retry at most.
        let answer = send_safely(&client, post("/kept", "body")).await.unwrap();
        assert_eq!(read(answer).await.1, "/kept");
    });
}

#[test]
fn answers_before_the_answer_are_passed_over() {
    run(async {
        let origin = answers(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        )
        .await;
        let bench = Bench::new();
        let client = bench.client(&upstream(&[&origin]));
        let mut expecting = post("/", "body");
        expecting.headers_mut().insert("expect", "100-continue".parse().unwrap());
        assert_eq!(fetch(&client, expecting).await.unwrap(), (200, "ok".into(), false));
    });
}

#[test]
fn a_body_that_ends_early_is_an_error_and_one_by_close_is_not() {
    run(async {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", Err(Reason::UpstreamBodyIncomplete)),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", Err(Reason::UpstreamBodyIncomplete)),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", Err(Reason::UpstreamProtocol)),
            ("HTTP/1.1 200 OK\r\n\r\nwhole", Ok("whole")),
        ] {
            let origin = Origin::new(move |_, mut peer: Peer| async move {
                peer.head().await;
                peer.write(answer).await;
            })
            .await;
            let bench = Bench::new();
            let client = bench.client(&upstream(&[&origin]));
            let Answer { body, lease, .. } = send(&client, get("/")).await.unwrap();
            let body = body.collect().await;
            drop(lease);
            let body = body.map(|body| body.to_bytes()).map_err(|error| error.reason);
            assert_eq!(body, expected.map(Bytes::from), "{answer:?}");
            assert!(!send(&client, get("/")).await.unwrap().reused);
        }
    });
}

#[test]
fn trailers_come_through() {
    run(async {
        let origin = answers(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: sum\r\n\r\n2\r\nok\r\n0\r\nsum: 42\r\n\r\n",
        )
        .await;
        let bench = Bench::new();
        let client = bench.client(&upstream(&[&origin]));
        for reused in [false, true] {
            let answer = send(&client, get("/")).await.unwrap();
            assert_eq!(answer.reused, reused);
            let body = answer.body.collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["sum"], "42");
        }
    });
}

#[test]
fn an_upgraded_connection_is_the_sessions_alone() {
    run(async {
        let origin =
            answers("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello").await;
        let bench = Bench::new();
        let client = bench.client(&upstream(&[&origin]));
        let mut upgrade = get("/");
        upgrade.headers_mut().insert("connection", "upgrade".parse().unwrap());
        upgrade.headers_mut().insert("upgrade", "x".parse().unwrap());
        let Answer { upgraded, lease, .. } = send(&client, upgrade).await.unwrap();
        drop(lease);
        let mut session = *upgraded.unwrap();
        let mut hello = session.early.to_vec();
        hello.resize(5, 0);
        session.stream.read_exact(&mut hello[session.early.len()..]).await.unwrap();
        assert_eq!(&hello, b"hello");
        session.stream.write_all(b"bye").await.unwrap();
        let other = send(&client, get("/")).await.unwrap();
        assert!(!other.reused);
    });
}

#[test]
fn an_answer_nobody_asked_for_never_reaches_the_next_request() {
    run(async {
        let origin = Origin::new(|number, mut peer: Peer| async move {
            if number > 0 {
                return peer.echo().await;
            }
            peer.head().await;
            let unasked = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret";
            peer.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{unasked}")).await;
            peer.closed().await;
        })
        .await;
        let bench = Bench::new();
        let client = bench.client(&upstream(&[&origin]));
        assert_eq!(fetch(&client, get("/")).await.unwrap().1, "ok");
        match send_safely(&client, get("/mine")).await {
            Ok(answer) => assert_eq!(read(answer).await.1, "/mine"),
            Err(error) => assert_eq!(error.reason, Reason::UpstreamProtocol),
        }
    });
}

#[test]
fn open_connections_are_counted_by_state() {
    run(async {
        let origin = echo().await;
        let bench = Bench::new();
        let client = bench.client(&upstream(&[&origin]));
        let one = send(&client, get("/1")).await.unwrap();
        read(send(&client, get("/2")).await.unwrap()).await;
        assert_eq!(open_connections(&bench), [("active".into(), 1.0), ("idle".into(), 1.0)]);
        drop((one, client));
        bench.pools.reap();
        assert_eq!(open_connections(&bench), [("active".into(), 0.0), ("idle".into(), 0.0)]);
    });
}
