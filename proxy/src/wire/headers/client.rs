//! Who the client is, when proxies that we trust stand in between.
//! It reads headers and changes none.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::header::{FORWARDED, HeaderMap, HeaderName};

use crate::wire::config::Network;
use crate::wire::headers::forwarded::{X_FORWARDED_FOR, X_FORWARDED_PROTO};

/// The right-most address that is not of a trusted proxy, out of `X-Forwarded-For`, or `Forwarded` without that.
///
/// A peer that is not trusted is the client itself. Where an address cannot be read, the peer is: nothing to the left of
/// it can be believed. If all are trusted, the left-most is the client.
pub fn client_address(peer: IpAddr, trusted: &[Network], headers: &HeaderMap) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if trusted.is_empty() || !is_trusted(peer) {
        return peer;
    }
    let walk = |name: &HeaderName, read: fn(&str) -> Option<IpAddr>| {
        let mut client = peer;
        for value in headers.get_all(name).iter().rev() {
            let Ok(value) = value.to_str() else { return peer };
            for item in value.rsplit(',') {
                let Some(address) = read(item.trim()) else { return peer };
                client = address.to_canonical();
                if !is_trusted(client) {
                    return client;
                }
            }
        }
        client
    };
    if headers.contains_key(&X_FORWARDED_FOR) {
        walk(&X_FORWARDED_FOR, address)
    } else {
        walk(&FORWARDED, forwarded_for)
    }
}

/// Whether the client spoke TLS, as a trusted proxy says; `None` where it does not.
pub fn client_https(headers: &HeaderMap) -> Option<bool> {
    let said = headers.get(&X_FORWARDED_PROTO)?.to_str().ok()?;
    let first = said.split(',').next().unwrap_or_default().trim();
    match first.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

/// An address, in brackets or with a port if need be.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    IpAddr::from_str(text)
        .ok()
        .or_else(|| SocketAddr::from_str(text).ok().map(|address| address.ip()))
        .or_else(bracketed)
}

/// The `for` of one element of `Forwarded`; a host name or `unknown` is no address.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("for") {
            return None;
        }
        let value = value.trim();
        address(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    })
}
