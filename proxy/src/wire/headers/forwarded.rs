//! Tells the upstream about the client: `X-Forwarded-*` and `Forwarded` (RFC 7239).
//! It does not decide whom to trust.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
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
    pub https: bool,
    /// Whom the client asked for, with the port if it gave one.
    pub host: Option<&'a str>,
    /// Ours, which the client connected to.
    pub port: u16,
}

/// What a hop says of itself, as it is written: made once for all requests of a connection that ask for the same host.
#[derive(Debug)]
pub struct Introduction {
    host: Option<HeaderValue>,
    /// The host without its port, in lower case.
    name: Rc<str>,
    /// The peer's address.
    address: HeaderValue,
    /// The element of `Forwarded`.
    element: HeaderValue,
    proto: HeaderValue,
    port: HeaderValue,
}

// === impl Introduction ===

impl Introduction {
    pub fn new(hop: &Hop<'_>) -> Self {
        let peer = hop.peer.to_canonical();
        let mut element = String::with_capacity(80);
        // Writing to a `String` cannot fail.
        let _ = match peer {
            IpAddr::V4(peer) => write!(element, "for={peer}"),
            IpAddr::V6(peer) => write!(element, "for=\"[{peer}]\""),
        };
        if let Some(host) = hop.host {
            // A colon is not part of a token; what a host may hold needs no escape.
            let quote = if host.contains([':', '[']) { "\"" } else { "" };
            let _ = write!(element, ";host={quote}{host}{quote}");
        }
        element.push_str(if hop.https { ";proto=https" } else { ";proto=http" });
        Self {
            host: hop.host.and_then(|host| HeaderValue::from_str(host).ok()),
            name: super::without_port(hop.host.unwrap_or_default()).to_ascii_lowercase().into(),
            address: value(peer.to_string()),
            element: value(element),
            proto: if hop.https { HTTPS } else { HTTP },
            port: match hop.port {
                80 => PORT_80,
                443 => PORT_443,
                port => HeaderValue::from(port),
            },
        }
    }

    /// The host without its port, in lower case; empty where the request named none.
    pub fn name(&self) -> Rc<str> {
        Rc::clone(&self.name)
    }

    /// Whether it is for a request for this host.
    pub fn is_for(&self, host: Option<&str>) -> bool {
        self.host.as_ref().map(HeaderValue::as_bytes) == host.map(str::as_bytes)
    }
}

/// Sets the forwarding fields of a request. A trusted peer's own stay: the lists grow by one, the single values are
/// left as they are. Anyone else's are replaced.
pub fn forward(headers: &mut HeaderMap, hop: &Introduction, trusted: bool) {
    grow(headers, X_FORWARDED_FOR, trusted, &hop.address);
    grow(headers, FORWARDED, trusted, &hop.element);
    set(headers, X_FORWARDED_PROTO, trusted, Some(&hop.proto));
    set(headers, X_FORWARDED_HOST, trusted, hop.host.as_ref());
    set(headers, X_FORWARDED_PORT, trusted, Some(&hop.port));
}

/// Puts an element at the end of a list, or in its place.
fn grow(headers: &mut HeaderMap, name: HeaderName, keep: bool, element: &HeaderValue) {
    let earlier = if keep { headers.get_all(&name).iter().collect() } else { Vec::new() };
    if earlier.is_empty() {
        headers.insert(name, element.clone());
        return;
    }
    let mut list = String::with_capacity(80);
    for value in earlier.into_iter().chain([element]).filter_map(|value| value.to_str().ok()) {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(value);
    }
    headers.insert(name, value(list));
}

/// Of text that we made, and of hosts and lists that came in headers: it is valid in one.
fn value(text: String) -> HeaderValue {
    // The text's own allocation becomes the value's.
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

fn set(headers: &mut HeaderMap, name: HeaderName, keep: bool, value: Option<&HeaderValue>) {
    if keep && headers.contains_key(&name) {
        return;
    }
    match value {
        Some(value) => drop(headers.insert(name, value.clone())),
        None => drop(headers.remove(name)),
    }
}
