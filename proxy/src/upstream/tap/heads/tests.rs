//! Heads in one piece and in many, and what is none.
//! It opens no connection.

use super::*;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n";
const DONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";

/// The statuses that are heard, and what `hear` said last.
fn heard(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> (Vec<u16>, io::Result<bool>) {
    let (mut hearing, mut statuses) = (Hearing::default(), Vec::new());
    for piece in pieces {
        match hearing.hear(piece.as_ref(), |(status, ..)| statuses.push(status.as_u16())) {
            Ok(true) => {}
            over => return (statuses, over),
        }
    }
    (statuses, Ok(true))
}

#[test]
fn interim_answers_are_heard_however_they_are_cut() {
    let all = [HINTS, "\r\nHTTP/1.0 102 \n\n", HINTS, DONE, HINTS].concat();
    for length in 1..all.len() {
        let (statuses, more) = heard(all.as_bytes().chunks(length));
        assert_eq!((statuses, more.unwrap()), (vec![103, 102, 103], false), "in pieces of {length}");
    }
    let mut heads = Vec::new();
    assert!(Hearing::default().hear(HINTS.as_bytes(), |head| heads.push(head)).unwrap(), "the final answer is to come");
    let (_, version, headers) = heads.pop().unwrap();
    assert_eq!(version, Version::HTTP_11);
    assert_eq!(headers.get_all("link").iter().collect::<Vec<_>>(), ["</a>", "</b>"]);
}

#[test]
fn what_is_none_ends_it() {
    for other in
        [DONE, "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 103 Early\r\nno colon\r\n\r\n", "SSH-2.0-OpenSSH"]
    {
        let (statuses, more) = heard([HINTS, other, HINTS]);
        assert_eq!((statuses, more.unwrap()), (vec![103], false), "{other:?}");
    }
}

#[test]
fn there_are_only_so_many() {
    let (statuses, more) = heard(vec![HINTS; MOST + 1]);
    assert_eq!((statuses.len(), more.unwrap_err().kind()), (MOST, io::ErrorKind::InvalidData));
    let large = format!("HTTP/1.1 103 Early Hints\r\nx: {}\r\n\r\n", "x".repeat(MOST_BYTES));
    assert!(heard([large]).1.is_err());
}

#[test]
fn a_request_is_read_as_it_was_given() {
    let fields = "host: a.test\r\nx-a: 1\r\nx-b: \r\nx-a: 2\r\nx-binary: \u{e9}\r\n";
    let written = format!("DELETE /x?y={{}} HTTP/1.1\r\n{fields}\r\n");
    let read = request(written.as_bytes(), ()).unwrap();
    assert_eq!((read.method(), read.uri()), (&Method::DELETE, &Uri::from_static("/x?y={}")));
    let fields: Vec<_> = read.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let expected: [(&str, &[u8]); 5] =
        [("host", b"a.test"), ("x-a", b"1"), ("x-a", b"2"), ("x-b", b""), ("x-binary", "\u{e9}".as_bytes())];
    assert_eq!(fields, expected);
    for part in ["", "GET / HTTP/1.1\r\nhost: a.test\r\n"] {
        assert!(request(part.as_bytes(), ()).is_none());
    }
}

#[test]
fn what_hyper_said_of_the_connection_is_not_of_the_request() {
    let connection = |fields: &str| {
        let read = request(format!("GET / HTTP/1.0\r\n{fields}\r\n").as_bytes(), ()).unwrap();
        read.headers().get_all(CONNECTION).iter().cloned().collect::<Vec<_>>()
    };
    assert!(connection("connection: keep-alive\r\n").is_empty());
    assert_eq!(connection("connection: upgrade\r\nupgrade: websocket\r\nconnection: close\r\n"), ["upgrade"]);
}

#[test]
fn what_is_more_than_one_head_is_no_request() {
    // The end of a request before, which looks like one, in front of ours.
    let ours = "GET /b HTTP/1.1\r\nhost: b\r\n\r\n";
    assert!(request(ours.as_bytes(), ()).is_some());
    for before in ["AAAA /admin HTTP/1.1\r\nx1: a\r\n\r\n", "A /admin HTTP/1.1\r\n"] {
        let written = format!("{before}{ours}");
        let read = request(written.as_bytes(), ());
        assert!(read.is_none(), "{read:?}");
    }
}
