//! WebSocket handshakes: valid ones, faults, other versions, and the answer that belongs to a key.

use http::header::HeaderMap;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version};

use super::{Handshake, accepts, handshake, set_upgrade};

/// The example of RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const GOOD: &[(&str, &str)] = &[
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "WebSocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
];

/// A valid handshake in which one field has another value, or none.
fn with(name: &'static str, value: Option<&'static str>) -> Parts {
    let mut parts = Request::new(()).into_parts().0;
    for &(good, text) in GOOD {
        parts.headers.insert(HeaderName::from_static(good), HeaderValue::from_static(text));
    }
    parts.headers.remove(name);
    if let Some(value) = value {
        parts.headers.insert(name, HeaderValue::from_static(value));
    }
    parts
}

#[test]
fn a_valid_handshake_is_recognised() {
    assert!(matches!(handshake(&with("accept", None)), Handshake::WebSocket(_)));
    assert!(matches!(handshake(&with("content-length", Some("0"))), Handshake::WebSocket(_)));
}

#[test]
fn what_is_not_about_websocket_is_plain_http() {
    assert_eq!(handshake(&with("upgrade", None)), Handshake::None);
    assert_eq!(handshake(&with("upgrade", Some("h2c"))), Handshake::None);
}

#[test]
fn a_handshake_with_a_fault_is_refused() {
    let cases = [
        ("connection", None),
        ("connection", Some("keep-alive")),
        ("connection", Some("upgraded")),
        ("sec-websocket-key", None),
        ("sec-websocket-key", Some("")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZR==")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25j")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25j*Q==")),
        ("content-length", Some("3")),
        ("transfer-encoding", Some("chunked")),
    ];
    for (name, value) in cases {
        assert_eq!(handshake(&with(name, value)), Handshake::Invalid, "{name}: {value:?}");
    }
    let mut parts = with("accept", None);
    parts.method = Method::POST;
    assert_eq!(handshake(&parts), Handshake::Invalid);
    let mut parts = with("accept", None);
    parts.version = Version::HTTP_10;
    assert_eq!(handshake(&parts), Handshake::Invalid);
    let mut parts = with("accept", None);
    parts.headers.append("sec-websocket-key", HeaderValue::from_static(KEY));
    assert_eq!(handshake(&parts), Handshake::Invalid);
}

#[test]
fn another_version_is_told_apart() {
    for version in [None, Some("8"), Some("13, 8")] {
        assert_eq!(handshake(&with("sec-websocket-version", version)), Handshake::WrongVersion);
    }
}

#[test]
fn only_the_answer_that_belongs_to_the_key_is_accepted() {
    let Handshake::WebSocket(key) = handshake(&with("accept", None)) else { panic!("no handshake") };
    let mut headers = HeaderMap::new();
    set_upgrade(&mut headers);
    headers.insert("sec-websocket-accept", HeaderValue::from_static(ACCEPT));
    assert!(accepts(&key, StatusCode::SWITCHING_PROTOCOLS, &headers));
    assert!(!accepts(&key, StatusCode::OK, &headers));
    for name in ["upgrade", "connection", "sec-websocket-accept"] {
        let mut headers = headers.clone();
        headers.remove(name);
        assert!(!accepts(&key, StatusCode::SWITCHING_PROTOCOLS, &headers), "{name}");
    }
    headers.insert("sec-websocket-accept", HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOp="));
    assert!(!accepts(&key, StatusCode::SWITCHING_PROTOCOLS, &headers));
}

#[test]
fn the_subprotocol_must_have_been_offered() {
    let answer = |chosen: &[&'static str]| {
        let mut headers = HeaderMap::new();
        set_upgrade(&mut headers);
        headers.insert("sec-websocket-accept", HeaderValue::from_static(ACCEPT));
        for name in chosen {
            headers.append("sec-websocket-protocol", HeaderValue::from_static(name));
        }
        headers
    };
    let key = |offered| match handshake(&with("sec-websocket-protocol", offered)) {
        Handshake::WebSocket(key) => key,
        other => panic!("{other:?}"),
    };
    for (offered, chosen, good) in [
        (None, &[][..], true),
        (Some("chat, superchat"), &[], true),
        (Some("chat, superchat"), &["superchat"], true),
        (Some("chat, superchat"), &["super"], false),
        (Some("chat"), &["chat", "chat"], false),
        (None, &["chat"], false),
        (None, &[""], false),
    ] {
        let status = StatusCode::SWITCHING_PROTOCOLS;
        assert_eq!(accepts(&key(offered), status, &answer(chosen)), good, "{offered:?} {chosen:?}");
    }
}
