//! The check of a head: what is malformed, what is good, and that hyper reads the same.

use std::time::Duration;

use super::{BodyLength, CLASSES, Head, Scan, TARGET, check};
use crate::error::Reason;
use crate::wire::config::HeadLimits;

const LIMITS: HeadLimits = HeadLimits { max_size: 4096, max_headers: 10, timeout: Duration::from_secs(10) };

/// What must not be accepted, one line of it each; the rest of the head is good.
const MALFORMED: &[(&str, &[u8])] = &[
    (
        "content-length with transfer-encoding",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "transfer-encoding with content-length",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    ),
    ("two lengths that differ", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n"),
    ("two lengths that agree", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n"),
    ("a list of lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n"),
    ("a length with plus", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n"),
    ("a length with minus", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n"),
    ("a length with a space", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 0\r\n\r\n"),
    ("a hexadecimal length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n"),
    ("a length with an underscore", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n"),
    ("an empty length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
    ("a length beyond 64 bits", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n"),
    ("a length with a vertical tab", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\x0b3\r\n\r\n"),
    ("a coding before chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    ("identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
    ("chunked twice in a list", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
    (
        "chunked on two lines",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "chunked and something unknown",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
    ),
    ("quoted chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"),
    ("chunked with a parameter", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n"),
    ("chunked behind a vertical tab", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n"),
    ("xchunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    ("an empty coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"),
    ("a coding over HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("no host", b"GET / HTTP/1.1\r\nAccept: a\r\n\r\n"),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("the same host twice", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    ("an empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    ("a host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("a host with userinfo", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ("a list of hosts", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ("a host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("a host with an odd port", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    ("a host with a port too large", b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    ("a host with an empty port", b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
    ("a port without a host", b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
    ("a host with an open bracket", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    ("a host with odd brackets", b"GET / HTTP/1.1\r\nHost: [a]\r\n\r\n"),
    ("something behind the brackets", b"GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"),
    ("a host with obs-text", b"GET / HTTP/1.1\r\nHost: a\xff\r\n\r\n"),
    ("a folded line", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
    ("a folded line with a tab", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n"),
    ("a folded first line", b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n"),
    ("a bare LF behind the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    ("a bare LF behind a field", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
    ("a bare LF at the end", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    ("a bare CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
    ("a bare CR before CRLF", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n"),
    ("a bare CR in the target", b"GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a space before the colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    ("a tab before the colon", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 3\r\n\r\n"),
    ("a line without a colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
    ("an empty name", b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
    ("a name with NUL", b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n"),
    ("a name with obs-text", b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n"),
    ("a name with a separator", b"GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n"),
    ("a name with a quote", b"GET / HTTP/1.1\r\nHost: a\r\n\"X\": b\r\n\r\n"),
    ("a value with NUL", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
    ("a value with an escape character", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x1bb\r\n\r\n"),
    ("a value with DEL", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n"),
    ("a method that is no token", b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a method with NUL", b"GET\0 / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a method without an end", b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no method", b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("an empty target", b"GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("HTTP/0.9", b"GET /\r\nHost: a\r\n\r\n"),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("HTTP/9.9", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
    ("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    ("http in lower case", b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    ("another protocol", b"GET / HTCPCP/1.1\r\nHost: a\r\n\r\n"),
    ("two spaces before the target", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("two spaces before the version", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a tab before the target", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a space behind the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ("GET *", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("OPTIONS with a longer *", b"OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    ("an authority as target", b"GET a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    ("a relative target", b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("userinfo", b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("userinfo in both", b"GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ("an authority that is not the host", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("an authority with another port", b"GET http://a:81/ HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    ("an absolute target without Host", b"GET http://a/ HTTP/1.1\r\n\r\n"),
    ("an absolute target without authority", b"GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("another scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a script as scheme", b"GET javascript:alert(1) HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a scheme without slashes", b"GET http:a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a target with NUL", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a target with obs-text", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a target with DEL", b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a quote in the target", b"GET /?a=\"b\" HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a backslash in the target", b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
    ("an empty line first", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a byte order mark", b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("something behind the end", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nX"),
    ("no end", b"GET / HTTP/1.1\r\nHost: a\r\n"),
];

const NONE: Head = Head { body: BodyLength::None, upgrade: false };

const GOOD: &[(&[u8], Head)] = &[
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    (b"GET / HTTP/1.0\r\n\r\n", NONE),
    (b"GET / HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", NONE),
    (b"GET /a//b/../c;d?e=f&g=%00[]{}|'?/ HTTP/1.1\r\nhost:a.example:8080\t \r\n\r\n", NONE),
    (b"GET / HTTP/1.1\r\nHOST: [2001:db8::1]:443\r\n\r\n", NONE),
    (b"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", NONE),
    (b"GET / HTTP/1.1\r\nHost: a_b.example.\r\n\r\n", NONE),
    (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    (b"GET http://A.example HTTP/1.1\r\nHost: a.example\r\n\r\n", NONE),
    (b"GET HTTPS://a:443/b?c HTTP/1.1\r\nHost: a:443\r\n\r\n", NONE),
    (b"GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", NONE),
    (b"GET http://a/ HTTP/1.0\r\n\r\n", NONE),
    (b"PURGE /x HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Text: \xe9 \"q\", a\tb\r\n\r\n", NONE),
    (b"M-SEARCH /x HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~0: x\r\n\r\n", NONE),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", NONE),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nCONTENT-length: 0012 \r\n\r\n",
        Head { body: BodyLength::Exact(12), upgrade: false },
    ),
    (b"POST / HTTP/1.0\r\nContent-Length: 7\r\n\r\n", Head { body: BodyLength::Exact(7), upgrade: false }),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
        Head { body: BodyLength::Chunked, upgrade: false },
    ),
    (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n", Head { body: BodyLength::None, upgrade: true }),
];

#[test]
fn nothing_malformed_is_accepted() {
    assert!(MALFORMED.len() >= 60);
    for (what, head) in MALFORMED {
        assert_eq!(check(head, &LIMITS), Err(Reason::MalformedHead), "{what}");
    }
}

#[test]
fn what_is_good_is_accepted_and_hyper_will_read_it_the_same_way() {
    for (head, expected) in GOOD {
        let text = String::from_utf8_lossy(head);
        assert_eq!(check(head, &LIMITS), Ok(*expected), "{text}");
        assert_readable(head);
    }
}

/// hyper answers by itself, without a record, what it cannot read: so it must be able to read all that we accept.
pub(in crate::wire::guard) fn assert_readable(head: &[u8]) {
    let text = String::from_utf8_lossy(head);
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(request.parse(head).unwrap(), httparse::Status::Complete(head.len()), "{text}");
    request.path.unwrap().parse::<http::Uri>().unwrap_or_else(|error| panic!("{error}: {text}"));
    http::Method::from_bytes(request.method.unwrap().as_bytes()).unwrap();
    for field in request.headers {
        http::HeaderName::from_bytes(field.name.as_bytes()).unwrap();
        http::HeaderValue::from_bytes(field.value).unwrap();
    }
}

#[test]
fn every_byte_of_a_target_is_one_that_a_uri_may_hold() {
    for byte in (0..=255_u8).filter(|byte| CLASSES[usize::from(*byte)] & TARGET != 0) {
        let target = format!("/{0}?{0}", char::from(byte));
        assert!(target.parse::<http::Uri>().is_ok(), "{target}");
    }
}

#[test]
fn limits_hold_to_the_byte_and_to_the_field() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n";
    let limits = |max_size, max_headers| HeadLimits { max_size, max_headers, ..LIMITS };
    assert!(check(head, &limits(head.len(), 2)).is_ok());
    assert_eq!(check(head, &limits(head.len() - 1, 2)), Err(Reason::HeadTooLarge));
    assert_eq!(check(head, &limits(head.len(), 1)), Err(Reason::HeadTooLarge));
}

#[test]
fn what_never_ends_is_refused_at_the_limit() {
    let endless = vec![b'a'; LIMITS.max_size + 1];
    assert_eq!(Scan::default().advance(&endless[..LIMITS.max_size], &LIMITS), Ok(None));
    assert_eq!(Scan::default().advance(&endless, &LIMITS), Err(Reason::HeadTooLarge));
}

#[test]
fn another_protocol_is_told_from_bad_http() {
    for foreign in ["INVALID CONNECTION PREFACE\r\n\r\n", "REGISTER sip:a.test SIP/2.0\r\n"] {
        assert!(super::is_foreign(foreign.as_bytes()), "{foreign}");
    }
    for http in [
        "GET / HTTP/9.9\r\n",
        "GET / http/1.1\r\n",
        "GET /\r\n",
        "hello there\r\n",
        "GET /a b HTTP/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "",
    ] {
        assert!(!super::is_foreign(http.as_bytes()), "{http}");
    }
}
