//! A request on its way out: its head, and its body as it comes.
//! It does not know what is answered.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, Request};
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite;

use super::stream::Stream;
use crate::error::Reason;
use crate::moment;
use crate::wire::body::Body;
use crate::wire::headers::frames_or_routes;
use crate::wire::joined::SMALL;

/// What is written of one request.
#[derive(Debug)]
pub(super) struct Outbound {
    /// The head, and what else frames the body; with small pieces of the body itself.
    bytes: Vec<u8>,
    /// How many of them are written.
    at: usize,
    /// A larger piece of the body, behind these bytes.
    data: Bytes,
    /// What ends the piece.
    tail: &'static [u8],
    body: Option<Body>,
    framing: Framing,
    /// What of the request is there to be written.
    stage: Stage,
    /// Whether any byte of this request was written.
    pub(super) begun: bool,
    /// Since when the other side takes nothing of what is there.
    stalled: Option<Instant>,
    /// Who writes on, where that is not who waits for the answer.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is more of the body to come.
    Open,
    /// All is given, and not yet all written.
    Given,
    Written,
    /// It is given up before its end.
    Broken,
}

/// How the end of the body is told.
#[derive(Debug)]
enum Framing {
    /// So many bytes are still owed.
    Length(u64),
    /// With these trailers, where there are some.
    Chunked(Vec<HeaderName>),
}

/// What is kept of the room for a head once the next is written.
const ROOM: usize = 4096;

// === impl Outbound ===

impl Outbound {
    pub(super) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            at: 0,
            data: Bytes::new(),
            tail: b"",
            body: None,
            framing: Framing::Length(0),
            stage: Stage::Written,
            begun: false,
            stalled: None,
            waker: None,
        }
    }

    /// Takes up a request, whose head is written as it is but for what frames the body.
    pub(super) fn begin<B>(&mut self, request: &Request<B>, body: Option<Body>) {
        self.bytes.clear();
        self.bytes.shrink_to(ROOM);
        self.at = 0;
        self.begun = false;
        self.stalled = None;
        self.stage = if body.is_some() { Stage::Open } else { Stage::Given };
        self.framing = encode(&mut self.bytes, request, body.as_ref());
        self.body = body;
    }

    /// Whether all of the request was written.
    pub(super) fn is_written(&self) -> bool {
        self.stage == Stage::Written
    }

    /// Since when the other side takes nothing of what is there.
    pub(super) const fn stalled_since(&self) -> Option<Instant> {
        self.stalled
    }

    /// Whether nothing more of the request will be written.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Written | Stage::Broken)
    }

    /// Gives up what is not yet written.
    pub(super) fn give_up(&mut self) -> Option<Body> {
        if !self.is_over() {
            self.stage = Stage::Broken;
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        self.data = Bytes::new();
        self.body.take()
    }

    /// The body, where the next of it should be asked for. It is to be given back.
    pub(super) fn lend(&mut self) -> Option<Body> {
        // Nothing can be put behind a piece that is not yet written to its end.
        let wants = self.data.is_empty() && self.tail.is_empty() && self.bytes.len() - self.at < SMALL;
        if wants && self.stage == Stage::Open { self.body.take() } else { None }
    }

    /// Takes the body back, and what it gave. Once it is over, it is given back for good.
    pub(super) fn take(
        &mut self,
        body: Body,
        polled: Poll<Option<Result<Frame<Bytes>, Reason>>>,
    ) -> Result<Option<Body>, Reason> {
        let Poll::Ready(given) = polled else {
            self.body = Some(body);
            return Ok(None);
        };
        let mut over = body.is_end_stream();
        let mut trailers = HeaderMap::new();
        match given.transpose()?.map(Frame::into_data) {
            None => over = true,
            Some(Ok(data)) => self.push(data)?,
            Some(Err(frame)) => {
                trailers = frame.into_trailers().unwrap_or_default();
                over = true;
            }
        }
        if over {
            self.finish(&trailers)?;
            return Ok(Some(body));
        }
        self.body = Some(body);
        Ok(None)
    }

    fn push(&mut self, data: Bytes) -> Result<(), Reason> {
        if data.is_empty() {
            return Ok(());
        }
        let end: &[u8] = match &mut self.framing {
            Framing::Length(left) => {
                // More than was said would be read as the next request.
                *left = left.checked_sub(data.len() as u64).ok_or(Reason::Internal)?;
                b""
            }
            Framing::Chunked(_) => {
                // Writing to memory does not fail.
                let _ = write!(self.bytes, "{:x}\r\n", data.len());
                b"\r\n"
            }
        };
        if self.bytes.len() - self.at + data.len() <= SMALL {
            self.bytes.extend_from_slice(&data);
            self.bytes.extend_from_slice(end);
        } else {
            self.data = data;
            self.tail = end;
        }
        Ok(())
    }

    fn finish(&mut self, trailers: &HeaderMap) -> Result<(), Reason> {
        self.stage = Stage::Given;
        match &self.framing {
            Framing::Length(0) => Ok(()),
            Framing::Length(_) => Err(Reason::Internal),
            // Where there is a piece to be written, nothing was asked for behind it.
            Framing::Chunked(_) if !self.data.is_empty() => {
                self.tail = b"\r\n0\r\n\r\n";
                Ok(())
            }
            Framing::Chunked(announced) => {
                self.bytes.extend_from_slice(b"0\r\n");
                for (name, value) in trailers {
                    if announced.contains(name) && !frames_or_routes(name.as_str().as_bytes()) {
                        line(&mut self.bytes, name.as_str(), value.as_bytes());
                    }
                }
                self.bytes.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }

    /// Writes what there is. Ready when there is nothing left of it.
    pub(super) fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = self.poll_write_all(stream, cx);
        match written {
            Poll::Ready(_) => self.stalled = None,
            Poll::Pending => _ = self.stalled.get_or_insert_with(moment::now),
        }
        written
    }

    fn poll_write_all(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(stream);
        loop {
            let bytes = self.bytes.get(self.at..).unwrap_or_default();
            if bytes.is_empty() && self.data.is_empty() && self.tail.is_empty() {
                break;
            }
            let polled = if self.data.is_empty() && self.tail.is_empty() {
                stream.as_mut().poll_write(cx, bytes)
            } else {
                let pieces = [IoSlice::new(bytes), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                stream.as_mut().poll_write_vectored(cx, &pieces)
            };
            let written = ready!(polled)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begun = true;
            self.stalled = None;
            self.wrote(written);
        }
        self.bytes.clear();
        self.at = 0;
        ready!(stream.poll_flush(cx))?;
        if self.stage == Stage::Given {
            self.stage = Stage::Written;
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, written: usize) {
        let bytes = written.min(self.bytes.len() - self.at);
        self.at += bytes;
        let data = (written - bytes).min(self.data.len());
        self.data.advance(data);
        self.tail = self.tail.get(written - bytes - data..).unwrap_or_default();
    }

    /// Has this task woken when the request is given up.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

/// Writes a head, and says how its body is framed.
fn encode<B>(out: &mut Vec<u8>, request: &Request<B>, body: Option<&Body>) -> Framing {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    for part in [request.method().as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let mut said = None;
    let (mut te, mut connection) = (false, false);
    for (name, value) in request.headers() {
        te |= name == TE;
        connection |= name == CONNECTION;
        if name == CONTENT_LENGTH {
            said = Some(value);
        } else if name != TRANSFER_ENCODING {
            line(out, name.as_str(), value.as_bytes());
        }
    }
    // It is for the next hop alone (RFC 9110, 10.1.4).
    if te && !connection {
        line(out, CONNECTION.as_str(), b"te");
    }
    let length = match body {
        // What says that there is nothing says it on.
        None => said.map(|_| 0),
        // What there is counts; where that is not known, what was said of it.
        Some(body) => body.size_hint().exact().or_else(|| said?.to_str().ok()?.parse().ok()),
    };
    let framing = match (length, body) {
        (Some(length), _) => {
            // Writing to memory does not fail.
            let _ = write!(out, "content-length: {length}\r\n");
            Framing::Length(length)
        }
        (None, None) => Framing::Length(0),
        (None, Some(_)) => {
            line(out, TRANSFER_ENCODING.as_str(), b"chunked");
            Framing::Chunked(announced(request.headers()))
        }
    };
    out.extend_from_slice(b"\r\n");
    framing
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The trailers that a head announces.
fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(TRAILER).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// What is written of a request whose body comes in these pieces.
    fn written(
        request: &Request<()>,
        body: Option<Body>,
        pieces: &[&str],
        trailers: Option<HeaderMap>,
    ) -> Result<String, Reason> {
        let mut outbound = Outbound::new();
        outbound.begin(request, body);
        let mut all = Vec::new();
        let mut take = |outbound: &mut Outbound| {
            for piece in [&outbound.bytes[outbound.at..], &outbound.data, outbound.tail] {
                all.extend_from_slice(piece);
            }
            let length = outbound.bytes.len() - outbound.at + outbound.data.len() + outbound.tail.len();
            (0..length).for_each(|_| outbound.wrote(1));
            outbound.bytes.clear();
            outbound.at = 0;
        };
        for piece in pieces {
            let Some(body) = outbound.lend() else { panic!("it is not asked for more") };
            outbound.take(body, Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(piece.as_bytes()))))))?;
            take(&mut outbound);
        }
        if let Some(body) = outbound.lend() {
            let trailers = trailers.map(|trailers| Ok(Frame::trailers(trailers)));
            outbound.take(body, Poll::Ready(trailers))?;
        }
        take(&mut outbound);
        assert_eq!(outbound.stage, Stage::Given);
        Ok(String::from_utf8(all).unwrap())
    }

    /// A body of unknown length that never says that it is over.
    fn endless() -> Body {
        Body::made(Box::pin(http_body_util::StreamBody::new(futures_util::stream::pending())))
    }

    fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_head_says_what_there_is() {
        let long = "x".repeat(2 * SMALL);
        let chunked = "transfer-encoding: chunked\r\n\r\n";
        let long_chunk = format!("POST / HTTP/1.1\r\n{chunked}800\r\n{long}\r\n0\r\n\r\n");
        let long_whole = format!("PUT / HTTP/1.1\r\ncontent-length: 2048\r\n\r\n{long}");
        for (request, body, pieces, expected) in [
            (
                request("GET", "/a?b=c", &[("host", "h"), ("x", "")]),
                None,
                vec![],
                "GET /a?b=c HTTP/1.1\r\nhost: h\r\nx: \r\n\r\n",
            ),
            (
                request("GET", "/", &[("te", "trailers")]),
                None,
                vec![],
                "GET / HTTP/1.1\r\nte: trailers\r\nconnection: te\r\n\r\n",
            ),
            (
                request("GET", "/", &[("te", "trailers"), ("connection", "upgrade")]),
                None,
                vec![],
                "GET / HTTP/1.1\r\nte: trailers\r\nconnection: upgrade\r\n\r\n",
            ),
            (request("GET", "http://elsewhere.test", &[]), None, vec![], "GET / HTTP/1.1\r\n\r\n"),
            (request("OPTIONS", "*", &[]), None, vec![], "OPTIONS * HTTP/1.1\r\n\r\n"),
            (
                request("POST", "/", &[("content-length", "0")]),
                None,
                vec![],
                "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
            ),
            // What would make the next request part of this one.
            (
                request("POST", "/", &[("content-length", "5"), ("transfer-encoding", "chunked")]),
                None,
                vec![],
                "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
            ),
            (
                request("POST", "/", &[]),
                Some(Body::full("hello")),
                vec!["hello"],
                "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello",
            ),
            (
                request("POST", "/", &[("content-length", "9")]),
                Some(Body::full("hello")),
                vec!["he", "llo"],
                "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello",
            ),
            (
                request("POST", "/", &[("content-length", "5")]),
                Some(endless()),
                vec!["he", "", "llo"],
                "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello",
            ),
            (
                request("GET", "/", &[]),
                Some(endless()),
                vec!["he", "llo"],
                "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            ),
            (
                request("POST", "/", &[]),
                Some(endless()),
                vec![],
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
            (request("POST", "/", &[]), Some(endless()), vec![&long], &long_chunk),
            (request("PUT", "/", &[("content-length", "2048")]), Some(endless()), vec![&long], &long_whole),
        ] {
            assert_eq!(written(&request, body, &pieces, None).unwrap(), expected);
        }
    }

    #[test]
    fn a_body_is_the_same_however_much_of_it_is_taken_at_once() {
        let (long, longer) = ("x".repeat(2 * SMALL), "y".repeat(3 * SMALL));
        let pieces = [&*long, "abc", "", &longer, &long, "d"];
        let chunks: String = pieces
            .iter()
            .filter(|piece| !piece.is_empty())
            .map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len()))
            .collect();
        let framed =
            [("transfer-encoding: chunked", format!("{chunks}0\r\n\r\n")), ("content-length: 7172", pieces.concat())];
        for (field, body) in framed {
            let expected = format!("POST / HTTP/1.1\r\n{field}\r\n\r\n{body}");
            for step in 1..=long.len() + 20 {
                let request = if field.starts_with('t') {
                    request("POST", "/", &[])
                } else {
                    request("POST", "/", &[("content-length", "7172")])
                };
                let mut outbound = Outbound::new();
                outbound.begin(&request, Some(endless()));
                let (mut all, mut next) = (Vec::new(), pieces.iter());
                loop {
                    if let Some(body) = outbound.lend() {
                        let piece = next.next().map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece.as_bytes()))));
                        drop(outbound.take(body, Poll::Ready(piece)).unwrap());
                    }
                    let there = [&outbound.bytes[outbound.at..], &outbound.data, outbound.tail].concat();
                    if there.is_empty() && outbound.stage == Stage::Given {
                        break;
                    }
                    let written = step.min(there.len());
                    all.extend_from_slice(&there[..written]);
                    outbound.wrote(written);
                }
                assert_eq!(String::from_utf8(all).unwrap(), expected, "{step} at once");
            }
        }
    }

    #[test]
    fn only_trailers_that_were_announced_follow_and_none_that_frames_a_message() {
        let request = request("POST", "/", &[("trailer", "sum, X-Other"), ("trailer", "content-length")]);
        let mut trailers = HeaderMap::new();
        for name in ["sum", "x-other", "x-unsaid", "content-length"] {
            trailers.append(name, HeaderValue::from_static("1"));
        }
        let written = written(&request, Some(endless()), &["a"], Some(trailers)).unwrap();
        assert!(written.ends_with("\r\n\r\n1\r\na\r\n0\r\nsum: 1\r\nx-other: 1\r\n\r\n"), "{written}");
    }

    #[test]
    fn a_body_of_another_length_than_was_said_is_never_sent_as_a_whole() {
        let request = request("POST", "/", &[("content-length", "5")]);
        assert_eq!(written(&request, Some(endless()), &["hello", "!"], None), Err(Reason::Internal));
        assert_eq!(written(&request, Some(endless()), &["hell"], None), Err(Reason::Internal));
    }
}
