//! From a reason, or a plugin's local reply, to a response: the only place where errors become answers.
//! It does not know how the reason came about.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::error::Reason;
use crate::wire::body::Body;

/// All that an error's answer says.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    pub reason: Reason,
    /// The id of the exchange and the header that carries it.
    pub correlation: Option<(&'a HeaderName, &'a str)>,
    /// When to come again; rounded up to whole seconds, at least one.
    pub retry_after: Option<Duration>,
    /// The request's method: an answer to HEAD has no body.
    pub method: &'a Method,
}

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const VERSION_13: HeaderValue = HeaderValue::from_static("13");

// === impl Problem ===

impl<'a> Problem<'a> {
    /// With nothing but the reason.
    pub const fn new(reason: Reason, method: &'a Method) -> Self {
        Self { reason, correlation: None, retry_after: None, method }
    }

    /// The answer, `application/problem+json` (RFC 9457).
    pub fn response(&self) -> Response<Body> {
        self.with_status(self.reason.status())
    }

    /// The answer to a WebSocket handshake in a version that is not 13 (RFC 6455, 4.4; RFC 9110, 15.5.22).
    pub fn upgrade_required(&self) -> Response<Body> {
        let mut response = self.with_status(StatusCode::UPGRADE_REQUIRED);
        let headers = response.headers_mut();
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION_13);
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response
    }

    fn with_status(&self, status: StatusCode) -> Response<Body> {
        let text = self.text(status);
        let length = text.len();
        let body = if *self.method == Method::HEAD { Body::empty() } else { Body::full(text) };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if let Some((name, id)) = self.correlation
            && let Ok(id) = HeaderValue::from_str(id)
        {
            headers.insert(name.clone(), id);
        }
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if closes(self.reason) {
            headers.insert(CONNECTION, CLOSE);
        }
        response
    }

    fn text(&self, status: StatusCode) -> String {
        let mut text = String::with_capacity(192);
        let title = status.canonical_reason().unwrap_or_default();
        let (code, reason) = (status.as_u16(), self.reason.as_str());
        // Writing to a `String` cannot fail.
        let _ = write!(text, r#"{{"type":"about:blank","title":"{title}","status":{code},"reason":"{reason}""#);
        if let Some((_, id)) = self.correlation
            && let Ok(id) = serde_json::to_string(id)
        {
            text.push_str(r#","correlation_id":"#);
            text.push_str(&id);
        }
        text.push('}');
        text
    }
}

/// Whether the connection must end, since what the client sends next cannot be told apart from what it sent.
pub const fn closes(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MalformedHead
            | Reason::HeadTooLarge
            | Reason::HeadTimeout
            | Reason::MalformedBody
            | Reason::BodyTimeout
    )
}

/// A plugin's answer: its parts, made to fit what HTTP allows.
///
/// Fields that frame a message are ours. A status below 200 cannot end an exchange and becomes 500; 204, 205 and 304
/// have no body, nor has an answer to HEAD (which keeps its length).
pub fn local(status: StatusCode, mut headers: HeaderMap, body: Bytes, method: &Method) -> Response<Body> {
    let status = if status.is_informational() { StatusCode::INTERNAL_SERVER_ERROR } else { status };
    crate::wire::headers::strip_response(&mut headers);
    headers.remove(CONTENT_LENGTH);
    let bare = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = if status == StatusCode::RESET_CONTENT { 0 } else { body.len() };
    if !bare {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let without_body = bare || length == 0 || *method == Method::HEAD;
    let mut response = Response::new(if without_body { Body::empty() } else { Body::full(body) });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}
