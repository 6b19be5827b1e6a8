//! Answers of our own: the text of an error, `Retry-After`, and the framing of a plugin's answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::{Problem, local};
use crate::error::Reason;
use crate::wire::body::Body;

fn text(body: Body) -> String {
    let runtime = tokio::runtime::LocalRuntime::new().unwrap();
    let bytes = runtime.block_on(body.collect()).unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn an_error_reads_as_promised() {
    let header = HeaderName::from_static("x-request-id");
    let problem = Problem {
        correlation: Some((&header, "0198-abc")),
        retry_after: Some(Duration::from_millis(1200)),
        ..Problem::new(Reason::UpstreamHeadTimeout, &Method::GET)
    };
    let response = problem.response();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    assert_eq!(response.headers()["x-request-id"], "0198-abc");
    assert_eq!(response.headers()[RETRY_AFTER], "2");
    assert!(!response.headers().contains_key(CONNECTION));
    assert_eq!(
        text(response.into_body()),
        r#"{"type":"about:blank","title":"Gateway Timeout","status":504,"reason":"upstream_head_timeout","correlation_id":"0198-abc"}"#
    );
}

#[test]
fn an_answer_to_head_has_the_length_and_no_body() {
    let get = Problem::new(Reason::NoRoute, &Method::GET).response();
    let head = Problem::new(Reason::NoRoute, &Method::HEAD).response();
    assert_eq!(head.headers()[CONTENT_LENGTH], get.headers()[CONTENT_LENGTH]);
    assert_eq!(text(get.into_body()).len().to_string(), head.headers()[CONTENT_LENGTH].to_str().unwrap());
    assert!(head.into_body().is_end_stream());
}

#[test]
fn the_connection_ends_where_its_bytes_cannot_be_trusted() {
    for reason in [Reason::MalformedHead, Reason::MalformedBody, Reason::HeadTimeout] {
        assert_eq!(Problem::new(reason, &Method::GET).response().headers()[CONNECTION], "close", "{reason}");
    }
}

#[test]
fn every_reason_makes_valid_json() {
    for &reason in Reason::ALL {
        let text = text(Problem::new(reason, &Method::GET).response().into_body());
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["reason"], reason.as_str());
        assert_eq!(json["status"], reason.status().as_u16());
    }
}

#[test]
fn retry_after_is_never_zero_and_rounded_up() {
    for (after, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
        let problem = Problem {
            retry_after: Some(Duration::from_millis(after)),
            ..Problem::new(Reason::RateLimited, &Method::GET)
        };
        assert_eq!(problem.response().headers()[RETRY_AFTER], seconds);
    }
}

#[test]
fn an_unknown_websocket_version_is_told_the_right_one() {
    let response = Problem::new(Reason::InvalidUpgrade, &Method::GET).upgrade_required();
    assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(response.headers()["sec-websocket-version"], "13");
    assert_eq!(response.headers()["upgrade"], "websocket");
    assert_eq!(response.headers()["connection"], "upgrade");
}

#[test]
fn a_plugins_answer_is_framed_by_us() {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("99"));
    headers.insert("transfer-encoding", HeaderValue::from_static("chunked"));
    headers.insert("x-plugin", HeaderValue::from_static("yes"));
    let body = Bytes::from_static(b"no");
    let response = local(StatusCode::FORBIDDEN, headers.clone(), body.clone(), &Method::GET);
    assert_eq!(response.headers()[CONTENT_LENGTH], "2");
    assert_eq!(response.headers()["x-plugin"], "yes");
    assert!(!response.headers().contains_key("transfer-encoding"));
    assert_eq!(text(response.into_body()), "no");

    let response = local(StatusCode::NO_CONTENT, headers.clone(), body.clone(), &Method::GET);
    assert!(!response.headers().contains_key(CONTENT_LENGTH) && response.body().is_end_stream());
    let response = local(StatusCode::OK, headers.clone(), body.clone(), &Method::HEAD);
    assert!(response.headers()[CONTENT_LENGTH] == "2" && response.body().is_end_stream());
    let response = local(StatusCode::SWITCHING_PROTOCOLS, headers, body, &Method::GET);
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}
