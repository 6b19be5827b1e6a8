//! What a request over HTTP/2 must be, beyond what the protocol library checks.
//! It sees heads only.

use http::header::{CONNECTION, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::error::Reason;
use crate::wire::guard::head::{is_host, is_method, is_target};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Checks a request's head (RFC 9113, 8.2.2 and 8.3.1).
///
/// # Errors
/// [`Reason::MalformedHead`], or [`Reason::HeadTooLarge`] with more than `max_headers` fields.
pub(super) fn check(parts: &Parts, max_headers: usize) -> Result<(), Reason> {
    if parts.headers.len() > max_headers {
        return Err(Reason::HeadTooLarge);
    }
    if is_well_formed(parts) { Ok(()) } else { Err(Reason::MalformedHead) }
}

fn is_well_formed(parts: &Parts) -> bool {
    let path = parts.uri.path();
    let path_fits = path.starts_with('/') || (path == "*" && parts.method == Method::OPTIONS);
    let target_fits = parts.uri.path_and_query().is_some_and(|target| is_target(target.as_str().as_bytes()));
    let scheme_fits = matches!(parts.uri.scheme_str(), Some("http" | "https"));
    is_method(parts.method.as_str().as_bytes())
        && path_fits
        && target_fits
        && scheme_fits
        && authority_fits(parts)
        && fields_fit(&parts.headers)
}

/// One authority, from `:authority` or `Host`, and the same where both are there.
fn authority_fits(parts: &Parts) -> bool {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return false;
    }
    let host = host.map(http::HeaderValue::as_bytes);
    match (parts.uri.authority().map(|authority| authority.as_str().as_bytes()), host) {
        (Some(authority), Some(host)) => is_host(authority) && authority.eq_ignore_ascii_case(host),
        (Some(only), None) | (None, Some(only)) => is_host(only),
        (None, None) => false,
    }
}

/// No field that belongs to a connection.
fn fields_fit(headers: &HeaderMap) -> bool {
    let forbidden = [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE];
    !forbidden.iter().any(|name| headers.contains_key(name)) && headers.get_all(TE).iter().all(|te| te == "trailers")
}
