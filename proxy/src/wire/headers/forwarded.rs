//! Tells the upstream about the client: `X-Forwarded-*` and `Forwarded` (RFC 7239).
//! It does not decide whom to trust.

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

const HTTP: HeaderValue = HeaderValue::from_static("http");
const HTTPS: HeaderValue = HeaderValue::from_static("https");
const PORT_80: HeaderValue = HeaderValue::from_static("80");
const PORT_443: HeaderValue = HeaderValue::from_static("443");

/// This hop, as the upstream shall see it.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// Who is connected to us.
    pub peer: IpAddr,
    /// Whether what it says about hops before it is kept, or replaced.
    pub trusted: bool,
    pub https: bool,
    /// Whom the client asked for, with the port if it gave one.
    pub host: Option<&'a str>,
    /// Ours, which the client connected to.
    pub port: u16,
}

/// Sets the forwarding fields of a request. A trusted peer's own stay: the lists grow by one, the single values are
/// left as they are. Anyone else's are replaced.
pub fn forward(headers: &mut HeaderMap, hop: &Hop<'_>) {
    let peer = hop.peer.to_canonical();
    let mut text = earlier(headers, &X_FORWARDED_FOR, hop.trusted);
    // Writing to a `String` cannot fail.
    let _ = write!(text, "{peer}");
    put(headers, X_FORWARDED_FOR, text);

    let mut text = earlier(headers, &FORWARDED, hop.trusted);
    let _ = match peer {
        IpAddr::V4(peer) => write!(text, "for={peer}"),
        IpAddr::V6(peer) => write!(text, "for=\"[{peer}]\""),
    };
    if let Some(host) = hop.host {
        // A colon is not part of a token; what a host may hold needs no escape.
        let quote = if host.contains([':', '[']) { "\"" } else { "" };
        let _ = write!(text, ";host={quote}{host}{quote}");
    }
    text.push_str(if hop.https { ";proto=https" } else { ";proto=http" });
    put(headers, FORWARDED, text);

    set(headers, X_FORWARDED_PROTO, hop.trusted, || Some(if hop.https { HTTPS } else { HTTP }));
    set(headers, X_FORWARDED_HOST, hop.trusted, || HeaderValue::from_str(hop.host?).ok());
    set(headers, X_FORWARDED_PORT, hop.trusted, || {
        Some(match hop.port {
            80 => PORT_80,
            443 => PORT_443,
            port => HeaderValue::from(port),
        })
    });
}

/// What is kept of a list, with the comma behind it.
fn earlier(headers: &HeaderMap, name: &HeaderName, trusted: bool) -> String {
    let mut text = String::with_capacity(80);
    if trusted {
        for value in headers.get_all(name).iter().filter_map(|value| value.to_str().ok()) {
            text.push_str(value);
            text.push_str(", ");
        }
    }
    text
}

fn put(headers: &mut HeaderMap, name: HeaderName, text: String) {
    // The text's own allocation becomes the value's.
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
        headers.insert(name, value);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, keep: bool, value: impl FnOnce() -> Option<HeaderValue>) {
    if keep && headers.contains_key(&name) {
        return;
    }
    match value() {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}
