//! The one body type: kinds, ends, timeouts, watchers and sizes.

use std::cell::RefCell;
use std::future::Future as _;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::HeaderMap;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::{Body, End, Source, Watch};
use crate::error::Reason;

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<(usize, Vec<End>)>>);

impl Watch for Notes {
    fn data(&mut self, bytes: usize) {
        self.0.borrow_mut().0 += bytes;
    }

    fn end(self: Box<Self>, end: End) {
        self.0.borrow_mut().1.push(end);
    }
}

impl Notes {
    fn watch(&self, body: Body) -> Body {
        body.watched(Box::new(self.clone()))
    }

    fn ends(&self) -> Vec<End> {
        self.0.borrow().1.clone()
    }
}

/// A request's body that hyper delivers as the client sends it, and the client's side of the connection.
async fn arriving(head: &str) -> (Body, tokio::io::DuplexStream) {
    let (mut client, server) = tokio::io::duplex(1024);
    tokio::io::AsyncWriteExt::write_all(&mut client, head.as_bytes()).await.unwrap();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = RefCell::new(Some(sender));
    drop(tokio::task::spawn_local(async move {
        let service = hyper::service::service_fn(|request| {
            if let Some(sender) = sender.borrow_mut().take() {
                drop(sender.send(request));
            }
            std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
        });
        let io = hyper_util::rt::TokioIo::new(server);
        drop(hyper::server::conn::http1::Builder::new().header_read_timeout(None).serve_connection(io, service).await);
    }));
    (Body::upstream(receiver.await.unwrap().into_body()), client)
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::LocalRuntime::new().unwrap().block_on(future);
}

#[test]
fn sizes_are_known_before_the_first_byte() {
    assert_eq!(Body::empty().size_hint().exact(), Some(0));
    assert!(Body::empty().is_end_stream() && Body::full("").is_end_stream());
    assert_eq!(Body::full("abc").size_hint().exact(), Some(3));
    let watched = Notes::default().watch(Body::full("abc"));
    assert_eq!(watched.size_hint().exact(), Some(3));
    assert!(!watched.is_end_stream());
}

#[test]
fn a_watcher_hears_of_the_end_with_the_last_byte() {
    run(async {
        let notes = Notes::default();
        let mut body = notes.watch(Body::full("abc"));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert_eq!(notes.ends(), [End::Complete]);
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!((notes.0.borrow().0, notes.ends()), (3, vec![End::Complete]));
    });
}

#[test]
fn a_body_that_nobody_reads_was_dropped_unless_there_was_nothing_to_read() {
    let notes = Notes::default();
    drop(notes.watch(Body::full("abc")));
    drop(notes.watch(Body::empty()));
    assert_eq!(notes.ends(), [End::Dropped, End::Complete]);
}

#[test]
fn two_watchers_both_hear() {
    run(async {
        let (inner, outer) = (Notes::default(), Notes::default());
        let body = outer.watch(inner.watch(Body::full("abc")));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        assert_eq!((inner.0.borrow().0, inner.ends()), (3, vec![End::Complete]));
        assert_eq!((outer.0.borrow().0, outer.ends()), (3, vec![End::Complete]));
    });
}

#[test]
fn a_stream_of_known_length_ends_with_its_last_byte() {
    run(async {
        let (body, _client) = arriving("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc").await;
        let notes = Notes::default();
        let mut body = notes.watch(body);
        assert_eq!(body.size_hint().exact(), Some(3));
        body.frame().await.unwrap().unwrap();
        assert_eq!(notes.ends(), [End::Complete]);
    });
}

#[test]
fn trailers_pass_and_end_the_body() {
    run(async {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n";
        let (body, _client) = arriving(head).await;
        let notes = Notes::default();
        let collected = notes.watch(body).collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["x-sum"], "1");
        assert_eq!((notes.0.borrow().0, notes.ends()), (3, vec![End::Complete]));
    });
}

#[test]
fn a_stream_that_is_cut_says_why() {
    run(async {
        let (body, client) = arriving("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\na").await;
        drop(client);
        let notes = Notes::default();
        let error = notes.watch(body).collect().await.unwrap_err();
        assert_eq!(error.reason, Reason::UpstreamBodyIncomplete);
        assert_eq!(notes.ends(), [End::Error(Reason::UpstreamBodyIncomplete)]);
    });
}

#[test]
fn silence_and_slowness_end_a_body() {
    run(async {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\na";
        let notes = Notes::default();
        let (body, _client) = arriving(head).await;
        let mut body = notes.watch(body);
        body.idle_timeout(Duration::from_millis(20), Reason::UpstreamBodyTimeout);
        assert_eq!(body.collect().await.unwrap_err().reason, Reason::UpstreamBodyTimeout);
        let (body, _client) = arriving(head).await;
        let mut body = notes.watch(body);
        body.idle_timeout(Duration::from_secs(100), Reason::UpstreamBodyTimeout);
        body.deadline(Instant::now() + Duration::from_millis(20), Reason::Timeout);
        assert_eq!(body.collect().await.unwrap_err().reason, Reason::Timeout);
        assert_eq!(notes.ends(), [End::Error(Reason::UpstreamBodyTimeout), End::Error(Reason::Timeout)]);
    });
}

#[test]
fn a_deadline_counts_for_a_reader_that_asks_late_too() {
    run(async {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n";
        let notes = Notes::default();
        let (body, _client) = arriving(head).await;
        let mut body = notes.watch(body);
        body.deadline(Instant::now(), Reason::Timeout);
        crate::moment::now();
        assert_eq!(body.collect().await.unwrap_err().reason, Reason::Timeout);
        assert_eq!(notes.ends(), [End::Error(Reason::Timeout)]);
        let mut last = notes.watch(Body::full("all"));
        last.deadline(Instant::now(), Reason::Timeout);
        crate::moment::now();
        assert_eq!(last.collect().await.unwrap().to_bytes(), "all", "what is all there is given");
    });
}

#[test]
fn no_timer_is_armed_for_a_piece_that_is_there() {
    // Without a runtime a timer would panic.
    let mut body = Body::full("abc");
    body.idle_timeout(Duration::from_secs(1), Reason::Timeout);
    let mut body = pin!(body.collect());
    let polled = body.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(_))));
}

#[test]
fn what_was_read_ahead_comes_first_with_the_length_of_all() {
    run(async {
        let whole = Body::ahead("abc".into(), Some(Body::full("def")), None, Box::new(()));
        assert_eq!((whole.size_hint().exact(), whole.is_end_stream()), (Some(6), false));
        assert_eq!(whole.collect().await.unwrap().to_bytes(), "abcdef");
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\nx-sum: 1\r\n\r\n";
        let (rest, _client) = arriving(head).await;
        let streamed = Body::ahead("abc".into(), Some(rest), None, Box::new(()));
        assert_eq!(streamed.size_hint().exact(), None);
        let streamed = streamed.collect().await.unwrap();
        assert_eq!(streamed.trailers().unwrap()["x-sum"], "1");
        assert_eq!(streamed.to_bytes(), "abcdef");
    });
}

#[test]
fn trailers_that_were_read_ahead_leave_no_length_that_would_hide_them() {
    run(async {
        let trailers: HeaderMap =
            [(http::HeaderName::from_static("x-sum"), "1".parse().unwrap())].into_iter().collect();
        for first in ["abc", ""] {
            let body = Body::ahead(first.into(), None, Some(trailers.clone()), Box::new(()));
            assert_eq!((body.size_hint().exact(), body.is_end_stream()), (None, false), "{first:?}");
            let body = body.collect().await.unwrap();
            assert_eq!(body.trailers(), Some(&trailers));
            assert_eq!(body.to_bytes(), first);
        }
        assert!(Body::ahead("".into(), None, None, Box::new(())).is_end_stream());
    });
}

#[test]
fn the_kinds_are_small() {
    assert!(size_of::<Source>() <= 64, "{}", size_of::<Source>());
}
