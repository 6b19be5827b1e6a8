//! Header hygiene on both sides: what ends at this hop is removed, what tells the next hop about this one is added.
//! It decides no policy: who is trusted is the caller's knowledge.

pub mod client;
pub mod forwarded;
#[cfg(test)]
mod tests;

use http::header::{
    CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{Uri, Version};

pub use client::{client_address, client_https};
pub use forwarded::{Hop, Introduction, forward};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const VIA_11: HeaderValue = HeaderValue::from_static("1.1 tidegate");
const VIA_10: HeaderValue = HeaderValue::from_static("1.0 tidegate");
const VIA_2: HeaderValue = HeaderValue::from_static("2.0 tidegate");

/// Removes from a request what is between the client and us (RFC 9110, 7.6.1). `TE: trailers` stays, since we pass
/// trailers on. A WebSocket's `Upgrade` goes too: [`set_upgrade`](crate::wire::upgrade::set_upgrade) puts it back.
pub fn strip_request(headers: &mut HeaderMap) {
    Found::among(headers).strip_request(headers);
}

/// Removes from a response what is between the upstream and us.
pub fn strip_response(headers: &mut HeaderMap) {
    let found = Found::among(headers);
    found.strip(headers, &[KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHENTICATE]);
}

/// Which headers there are of one hop, and about hops before: one look at the names that are there costs less than looking up each that
/// could be.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    connection: bool,
    /// Whether `Connection` names others; nearly always it names nothing.
    nominates: bool,
    /// Any of one hop that is not `Connection`.
    others: bool,
    /// Any that says something of hops before.
    claims: bool,
}

// === impl Found ===

impl Found {
    pub fn among(headers: &HeaderMap) -> Self {
        let mut found = Self { connection: false, nominates: false, others: false, claims: false };
        for (name, value) in headers {
            match name.as_str() {
                "connection" => {
                    found.connection = true;
                    found.nominates |= nominates(value);
                }
                "te"
                | "upgrade"
                | "keep-alive"
                | "proxy-connection"
                | "transfer-encoding"
                | "proxy-authenticate"
                | "proxy-authorization" => found.others = true,
                name => found.claims |= is_claim(name),
            }
        }
        found
    }

    /// As [`strip_request`].
    pub fn strip_request(&self, headers: &mut HeaderMap) {
        // Before anything is removed, since `Connection` names it too.
        let trailers = self.others
            && headers
                .get_all(TE)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"));
        self.strip(headers, &[KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHORIZATION, TE]);
        if trailers {
            headers.insert(TE, TRAILERS);
        }
    }

    /// Removes what somebody who is not trusted says of hops before; [`forward`] does so with what it sets itself.
    pub fn forget_claims(&self, headers: &mut HeaderMap) {
        if self.claims {
            let claims: Vec<_> = headers.keys().filter(|name| is_claim(name.as_str())).cloned().collect();
            for name in claims {
                headers.remove(name);
            }
        }
    }

    /// Removes what `Connection` names, and `names`.
    fn strip(&self, headers: &mut HeaderMap, names: &[HeaderName]) {
        if self.nominates {
            let nominating: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
            for value in nominating.iter().filter(|value| nominates(value)) {
                for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    // A client must not make us forget whom it asked, how long its message is, or what we say of it.
                    if let Ok(name) = HeaderName::from_bytes(name)
                        && ![HOST, CONTENT_LENGTH, TE, FORWARDED].contains(&name)
                        && !is_claim(name.as_str())
                    {
                        headers.remove(name);
                    }
                }
            }
        }
        if self.connection {
            headers.remove(CONNECTION);
        }
        if self.others {
            for name in names {
                headers.remove(name);
            }
        }
    }
}

/// Whether a field of this name, in lower case, tells of hops before; `Forwarded` apart.
fn is_claim(name: &str) -> bool {
    name.starts_with("x-forwarded-") || name == "x-real-ip"
}

fn nominates(value: &HeaderValue) -> bool {
    !["keep-alive", "close", "upgrade"].iter().any(|plain| value.as_bytes().eq_ignore_ascii_case(plain.as_bytes()))
}

/// Whether a field of this name, in lower case, frames or routes a message: it must not come after it (RFC 9110, 6.5.1).
pub fn frames_or_routes(name: &[u8]) -> bool {
    matches!(name, b"content-length" | b"transfer-encoding" | b"host" | b"connection" | b"upgrade" | b"te" | b"trailer")
}

/// Says that the message went through us, and which protocol it came in (RFC 9110, 7.6.3). For both directions.
pub fn add_via(headers: &mut HeaderMap, received: Version) {
    let value = match received {
        Version::HTTP_10 => VIA_10,
        Version::HTTP_2 => VIA_2,
        _ => VIA_11,
    };
    headers.append(VIA, value);
}

/// Whom the request is for, with the port where one was given: the URI's authority, else `Host`.
pub fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST)?.to_str().ok(),
    }
}

/// An authority without its port; an IPv6 address keeps its brackets.
pub fn without_port(authority: &str) -> &str {
    match authority.bytes().rposition(|byte| matches!(byte, b':' | b']')) {
        Some(at) if authority.as_bytes().get(at) == Some(&b':') => authority.get(..at).unwrap_or(authority),
        _ => authority,
    }
}
