//! Connections to a service on loopback that says, byte by byte, what a test has it say.
//! It knows nothing of pools.

use std::cell::RefCell;
use std::time::Duration;

use http::Version;
use http_body_util::BodyExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use super::*;

/// Runs a test on a worker's runtime; a test that hangs fails.
fn run(test: impl Future<Output = ()> + 'static) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("the test hangs") });
}

/// A connection, and the service at its other end.
async fn pair() -> (Rc<Connection>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (Connection::new(Stream::Tcp(ours.unwrap())), theirs.unwrap().0)
}

async fn answer(connection: &Rc<Connection>) -> Result<(Head, Body), Fault> {
    poll_fn(|cx| connection.poll_answer(&mut HeaderMap::new(), None, cx)).await
}

fn get() -> Request<()> {
    Request::get("/").body(()).unwrap()
}

/// Takes a request's head.
async fn head(service: &mut TcpStream) -> String {
    head_of(service).await
}

async fn head_of(service: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(service.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// What a service that says this, in pieces of so many bytes, and then closes is understood as.
async fn understood(says: &str, step: usize) -> Result<(Head, Result<(String, Option<HeaderMap>), Reason>), Fault> {
    let (connection, mut service) = pair().await;
    connection.begin(&get(), None);
    let says = says.as_bytes().to_vec();
    let service = async move {
        head(&mut service).await;
        for piece in says.chunks(step) {
            let _ = service.write_all(piece).await;
            if step < says.len() {
                // So that it is read before the next one comes.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let client = async {
        let (head, body) = answer(&connection).await?;
        let body = body.collect().await.map_err(|error| error.reason).map(|body| {
            let trailers = body.trailers().cloned();
            (String::from_utf8(body.to_bytes().to_vec()).unwrap(), trailers)
        });
        Ok((head, body))
    };
    let ((), understood) = tokio::join!(service, client);
    understood
}

#[test]
fn an_answer_is_the_same_however_it_is_cut() {
    run(async {
        let interim = "\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.0 102 \n\n";
        for (says, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nsum: 1\r\n\r\n",
                "hello",
            ),
            ("HTTP/1.0 200 OK\r\n\r\nhello", "hello"),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", ""),
        ] {
            let all = format!("{interim}{says}");
            for step in [1, 2, 3, 7, 50, all.len()] {
                let (head, body) = understood(&all, step).await.unwrap();
                assert!(matches!(head.status.as_u16(), 200 | 204), "{says:?} in pieces of {step}");
                assert_eq!(head.version == Version::HTTP_10, says.starts_with("HTTP/1.0"));
                let (text, trailers) = body.unwrap();
                assert_eq!(text, expected, "{says:?} in pieces of {step}");
                assert_eq!(trailers.is_some(), says.contains("sum: 1"));
            }
        }
    });
}

#[test]
fn what_is_cut_or_none_is_never_taken_for_an_answer() {
    run(async {
        let died = Fault::Died { untouched: false };
        for (says, expected) in [
            ("", died),
            ("HTTP/1.1 200 OK\r\ncontent-le", died),
            ("HTTP/1.1 103 Early Hints\r\n\r\n", died),
            ("\r\n\r\n\r\n", died),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", Fault::Malformed),
        ] {
            for step in [1, says.len().max(1)] {
                assert_eq!(understood(says, step).await.map(drop), Err(expected), "{says:?}");
            }
        }
        for (says, expected) in [
            ("content-length: 5\r\n\r\nhell", Reason::UpstreamBodyIncomplete),
            ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", Reason::UpstreamBodyIncomplete),
            ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", Reason::UpstreamBodyIncomplete),
            ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n", Reason::UpstreamProtocol),
        ] {
            let (_, body) = understood(&format!("HTTP/1.1 200 OK\r\n{says}"), 100).await.unwrap();
            assert_eq!(body, Err(expected), "{says:?}");
        }
    });
}

#[test]
fn what_comes_before_an_answer_is_bounded() {
    run(async {
        let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let done = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let large = format!("HTTP/1.1 103 Early Hints\r\nx: {}\r\n\r\n", "x".repeat(64 * 1024));
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(200 * 1024));
        for (says, passes) in [
            ([&interim.repeat(100), done].concat(), true),
            ([&interim.repeat(101), done].concat(), false),
            ([&large, done].concat(), false),
            (endless, false),
        ] {
            let head = understood(&says, says.len()).await.map(drop);
            assert_eq!(head, if passes { Ok(()) } else { Err(Fault::Malformed) }, "{} bytes", says.len());
        }
    });
}

#[test]
fn a_connection_is_open_until_the_upstream_closes_or_says_what_nobody_asked_for() {
    run(async {
        for unasked in ["", "HTTP/1.1 408 Request Timeout\r\n\r\n"] {
            let (connection, mut service) = pair().await;
            for _ in 0..2 {
                connection.begin(&get(), None);
                assert_eq!(connection.state(), State::Over, "an answer is due");
                let service = async {
                    head(&mut service).await;
                    service.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                };
                let ((), answer) = tokio::join!(service, answer(&connection));
                let (_, body) = answer.unwrap();
                assert_eq!(body.collect().await.unwrap().to_bytes(), "ok");
                assert_eq!(connection.state(), State::Free);
            }
            service.write_all(unasked.as_bytes()).await.unwrap();
            drop(service);
            while connection.state() == State::Free {
                tokio::task::yield_now().await;
            }
        }
        for last in [
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        ] {
            let (connection, mut service) = pair().await;
            connection.begin(&get(), None);
            service.write_all(last.as_bytes()).await.unwrap();
            answer(&connection).await.unwrap();
            assert_eq!(connection.state(), State::Over, "{last:?}");
        }
    });
}

#[test]
fn a_body_that_is_not_read_to_its_end_closes_the_connection() {
    run(async {
        let (connection, mut service) = pair().await;
        connection.begin(&get(), None);
        service.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
        let (_, body) = answer(&connection).await.unwrap();
        drop(body);
        assert_eq!(connection.state(), State::Over);
        head(&mut service).await;
        assert_eq!(service.read(&mut [0; 10]).await.unwrap_or(0), 0, "the service is told");
    });
}

/// A body that a test feeds, and how much of it was taken.
fn fed() -> (mpsc::UnboundedSender<Result<Bytes, Reason>>, Body) {
    let (feed, mut pieces) = mpsc::unbounded_channel::<Result<Bytes, Reason>>();
    let stream = futures_util::stream::poll_fn(move |cx| {
        let piece = ready!(pieces.poll_recv(cx));
        Poll::Ready(piece.map(|piece| piece.map(Frame::data).map_err(|reason| BodyError { reason })))
    });
    (feed, Body::made(Box::pin(http_body_util::StreamBody::new(stream))))
}

fn post() -> Request<()> {
    Request::post("/").body(()).unwrap()
}

#[test]
fn an_early_answer_and_the_rest_of_the_request_do_not_wait_for_each_other() {
    run(async {
        // More than the buffers on the way hold, in both directions.
        const LONG: usize = 16 << 20;
        let (connection, mut service) = pair().await;
        let (feed, body) = fed();
        connection.begin(&post(), Some(body));
        service.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n").as_bytes()).await.unwrap();
        let (_, body) = answer(&connection).await.unwrap();
        assert!(!connection.is_sent());
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        (0..LONG / piece.len()).for_each(|_| feed.send(Ok(piece.clone())).unwrap());
        drop(feed);
        // All of the request goes while nobody reads the answer, and all of the answer while nobody takes the request.
        head(&mut service).await;
        let mut taken = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        while !taken.ends_with(b"\r\n0\r\n\r\n") {
            let read = service.read(&mut piece).await.unwrap();
            taken.extend_from_slice(&piece[..read]);
        }
        assert!(taken.len() > LONG);
        let write = async { service.write_all(&vec![b'y'; LONG]).await.unwrap() };
        let ((), body) = tokio::join!(write, body.collect());
        assert_eq!(body.unwrap().to_bytes().len(), LONG);
        assert_eq!(connection.state(), State::Free);
    });
}

#[test]
fn who_answers_before_the_end_of_a_request_gets_the_rest_and_no_other() {
    run(async {
        let (connection, mut service) = pair().await;
        let (feed, body) = fed();
        connection.begin(&post(), Some(body));
        service.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        answer(&connection).await.unwrap();
        assert_eq!(connection.state(), State::Sending);
        feed.send(Ok("hello".into())).unwrap();
        drop(feed);
        head(&mut service).await;
        let mut rest = [0; 15];
        service.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(connection.state(), State::Over);
    });
}

#[test]
fn a_request_that_breaks_beside_its_answer_breaks_the_answer() {
    run(async {
        let (connection, mut service) = pair().await;
        let (feed, body) = fed();
        connection.begin(&post(), Some(body));
        service.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
        let (_, body) = answer(&connection).await.unwrap();
        let broken = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            feed.send(Err(Reason::ClientClosed)).unwrap();
        };
        let ((), body) = tokio::join!(broken, body.collect());
        assert_eq!(body.unwrap_err().reason, Reason::UpstreamBodyIncomplete);
    });
}

#[test]
fn a_request_that_breaks_is_its_own_fault_and_an_answer_to_a_part_is_one() {
    run(async {
        let (connection, mut service) = pair().await;
        let (feed, body) = fed();
        connection.begin(&post(), Some(body));
        feed.send(Err(Reason::MalformedBody)).unwrap();
        assert_eq!(answer(&connection).await.map(drop), Err(Fault::Request(Reason::MalformedBody)));
        assert_eq!(service.read(&mut [0; 10]).await.unwrap_or(0), 0, "nothing of it went, and it is told");

        // It answers and closes without taking the body.
        let (connection, mut service) = pair().await;
        let (feed, body) = fed();
        connection.begin(&post(), Some(body));
        service.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        (0..100).for_each(|_| feed.send(Ok(vec![0; 64 * 1024].into())).unwrap());
        let (head, body) = answer(&connection).await.unwrap();
        assert_eq!((head.status.as_u16(), body.collect().await.unwrap().to_bytes()), (413, "no".into()));
        drop(service);
        while !connection.is_sent() {
            tokio::task::yield_now().await;
        }
        assert_eq!(connection.state(), State::Over, "a part of a request is no request");
    });
}

#[test]
fn a_connection_that_is_closed_lets_go_of_a_request_that_waits() {
    run(async {
        let (connection, mut service) = pair().await;
        let (feed, body) = fed();
        connection.begin(&post(), Some(body));
        service.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        let (_, body) = answer(&connection).await.unwrap();
        body.collect().await.unwrap();
        assert_eq!(connection.state(), State::Sending);
        tokio::task::yield_now().await;
        connection.close();
        tokio::task::yield_now().await;
        assert!(feed.is_closed(), "its body is dropped");
        assert_eq!(Rc::strong_count(&connection), 1, "nobody sends on it any more");
    });
}

#[test]
fn what_came_before_an_error_is_seen_before_it() {
    run(async {
        let (connection, mut service) = pair().await;
        connection.begin(&get(), None);
        service.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
        let (_, body) = answer(&connection).await.unwrap();
        head(&mut service).await;
        drop(service);
        let body = RefCell::new(Box::pin(body));
        let next = || poll_fn(|cx| Poll::Ready(http_body::Body::poll_frame(body.borrow_mut().as_mut(), cx)));
        assert!(matches!(next().await, Poll::Ready(Some(Ok(_)))));
        let mut pending = 0;
        let error = loop {
            match next().await {
                Poll::Pending => pending += 1,
                Poll::Ready(frame) => break frame.unwrap().unwrap_err(),
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(error.reason, Reason::UpstreamBodyIncomplete);
        assert!(pending > 0, "who writes has the time to write");
    });
}

#[test]
fn an_upgraded_connection_is_handed_over_with_what_came() {
    run(async {
        let (connection, mut service) = pair().await;
        connection.begin(&get(), None);
        service.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nhello").await.unwrap();
        let (head, body) = answer(&connection).await.unwrap();
        assert_eq!((head.status.as_u16(), http_body::Body::is_end_stream(&body)), (101, true));
        let Upgraded { mut stream, early } = connection.upgrade().unwrap();
        assert_eq!(early, "hello");
        drop(connection);
        self::head(&mut service).await;
        stream.write_all(b"bye").await.unwrap();
        let mut bye = [0; 3];
        service.read_exact(&mut bye).await.unwrap();
        assert_eq!(&bye, b"bye");
    });
}

#[test]
fn what_is_no_longer_http_must_have_been_asked_for_to_the_end() {
    run(async {
        let (connection, mut service) = pair().await;
        let (_feed, body) = fed();
        connection.begin(&post(), Some(body));
        service.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap();
        answer(&connection).await.unwrap();
        assert!(connection.upgrade().is_none());
    });
}

#[test]
fn what_was_said_before_a_request_is_no_answer_to_it() {
    run(async {
        let (connection, service) = pair().await;
        // It says something, and is gone before the request is written: the first write fails.
        let service = service.into_std().unwrap();
        std::io::Write::write_all(&mut &service, b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n").unwrap();
        drop(service);
        if let Stream::Tcp(stream) = &*connection.stream.borrow() {
            socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write).unwrap();
        }
        connection.begin(&get(), None);
        assert_eq!(answer(&connection).await.map(drop), Err(Fault::Died { untouched: true }));
    });
}

/// What hyper's client makes of a service that says this and then closes.
async fn by_hyper(says: &[u8]) -> Option<(u16, Option<Bytes>)> {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let says = says.to_vec();
    let service = tokio::task::spawn_local(async move {
        head_of(&mut theirs).await;
        let _ = theirs.write_all(&says).await;
    });
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(ours)).await.ok()?;
    let connection = tokio::task::spawn_local(connection);
    let request = Request::get("/").body(http_body_util::Empty::<Bytes>::new()).unwrap();
    let answered = sender.send_request(request).await;
    let understood = match answered {
        Ok(answer) => {
            let status = answer.status().as_u16();
            Some((status, answer.into_body().collect().await.ok().map(|body| body.to_bytes())))
        }
        Err(_) => None,
    };
    service.abort();
    connection.abort();
    understood
}

#[test]
fn whatever_a_mutation_makes_of_an_answer_is_read_as_hyper_reads_it_or_refused() {
    run(async {
        let corpus = [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: b\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nsum: 1\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello",
            "HTTP/1.0 404 Not Found\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello",
            "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
        ];
        let mut random = SmallRng::seed_from_u64(42);
        let (mut read, mut refused) = (0, 0);
        for turn in 0..1500 {
            let mut says = corpus[turn % corpus.len()].as_bytes().to_vec();
            for _ in 0..random.random_range(1..=2) {
                let at = random.random_range(0..says.len());
                match random.random_range(0..4) {
                    0 => says[at] = *b"\r\n :;,0123fF\t\0x\x80".choose(&mut random).unwrap(),
                    1 => _ = says.remove(at),
                    2 => says.insert(at, says[random.random_range(0..says.len())]),
                    _ => says.truncate(at.max(1)),
                }
            }
            let (connection, mut service) = pair().await;
            connection.begin(&get(), None);
            let _ = service.write_all(&says).await;
            service.shutdown().await.unwrap();
            let ours = match answer(&connection).await {
                Ok((head, body)) => {
                    Some((head.status.as_u16(), body.collect().await.ok().map(http_body_util::Collected::to_bytes)))
                }
                Err(_) => None,
            };
            let theirs = by_hyper(&says).await;
            let said = says.escape_ascii();
            match (ours, theirs) {
                (None, _) => refused += 1,
                // A body that one of the two takes for cut, we do.
                (Some((status, None)), theirs) => assert_eq!(theirs.map(|theirs| theirs.0), Some(status), "{said}"),
                (ours, theirs) => {
                    assert_eq!(ours, theirs, "{said}");
                    read += 1;
                }
            }
        }
        assert!(read > 300 && refused > 150, "{read} read, {refused} refused: else nothing is compared");
    });
}
