//! Whether a WebSocket handshake is valid, on the client's side and on the upstream's (RFC 6455, 4).
//! It changes nothing and sends nothing.
//!
//! Upgrades to anything else are not offered: the fields that ask for one are removed with the other hop-by-hop fields,
//! and the request goes on as plain HTTP, as RFC 9110 (7.8) allows.

#[cfg(test)]
mod tests;

use http::header::{
    CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE_VALUE: HeaderValue = HeaderValue::from_static("upgrade");

/// What a request's head says about WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Plain HTTP, whatever other upgrade was asked for.
    None,
    /// A valid handshake with this key.
    WebSocket(Key),
    /// It asks for a WebSocket in another version than 13: 426.
    WrongVersion,
    /// It asks for a WebSocket and is not valid: 400.
    Invalid,
}

/// What the upstream's answer is held against: the value of `Sec-WebSocket-Key` (16 bytes in base64), and the
/// subprotocols that were offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    key: HeaderValue,
    offered: Vec<HeaderValue>,
}

/// Looks at a client's request.
pub fn handshake(request: &Parts) -> Handshake {
    let headers = &request.headers;
    if !has_token(headers, &UPGRADE, "websocket") {
        return Handshake::None;
    }
    // With a list of protocols we would have to choose: an offer of WebSocket alone is what clients send.
    let fits = request.version == Version::HTTP_11
        && request.method == Method::GET
        && has_token(headers, &CONNECTION, "upgrade")
        && !headers.contains_key(TRANSFER_ENCODING)
        && headers.get(http::header::CONTENT_LENGTH).is_none_or(|length| length == "0");
    if !fits {
        return Handshake::Invalid;
    }
    match only(headers, &SEC_WEBSOCKET_VERSION) {
        Some(version) if version == "13" => {}
        _ => return Handshake::WrongVersion,
    }
    match only(headers, &SEC_WEBSOCKET_KEY) {
        Some(key) if is_key(key.as_bytes()) => {
            let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().cloned().collect();
            Handshake::WebSocket(Key { key: key.clone(), offered })
        }
        _ => Handshake::Invalid,
    }
}

/// Whether an upstream's answer to a handshake with `key` is the 101 that belongs to it.
pub fn accepts(key: &Key, status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS
        && has_token(headers, &UPGRADE, "websocket")
        && has_token(headers, &CONNECTION, "upgrade")
        && only(headers, &SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|accept| accept.as_bytes() == derive_accept_key(key.key.as_bytes()).as_bytes())
        && is_offered(key, headers)
}

/// The upstream may choose none of the offered subprotocols, or one, and no other.
fn is_offered(key: &Key, headers: &HeaderMap) -> bool {
    let chosen = match only(headers, &SEC_WEBSOCKET_PROTOCOL) {
        Some(chosen) => chosen.to_str().unwrap_or_default(),
        None => return !headers.contains_key(SEC_WEBSOCKET_PROTOCOL),
    };
    let offered = key.offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    !chosen.is_empty() && offered.into_iter().any(|name| name.trim() == chosen)
}

/// Puts back what asks for, or grants, a WebSocket on this hop, after the hop-by-hop fields were removed.
pub fn set_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, UPGRADE_VALUE);
    headers.insert(UPGRADE, WEBSOCKET);
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|found| found.trim().eq_ignore_ascii_case(token))
}

/// The field's value, if it stands exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    first.filter(|_| values.next().is_none())
}

/// 16 bytes are 22 characters of base64 and two of padding; the last character holds four bits that are zero.
fn is_key(key: &[u8]) -> bool {
    let Some(digits) = key.strip_suffix(b"==") else { return false };
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    digits.len() == 22 && digits.iter().all(is_digit) && matches!(digits.last(), Some(b'A' | b'Q' | b'g' | b'w'))
}
