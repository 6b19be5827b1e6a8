//! The request's head on its way in: kept for the record, brought into the form that is routed, freed of what is for this hop only.
//! It routes nothing.

use http::HeaderValue;
use http::header::{EXPECT, HOST};
use http::request::Parts;

use crate::error::Reason;
use crate::exchange::{Exchange, Stop};
use crate::route::normal;
use crate::telemetry::record::RequestHead;
use crate::wire::headers::{self, Introduction};

/// The head as the record keeps it.
pub(super) fn take(parts: Parts, https: bool, introduction: &Introduction) -> RequestHead {
    let Parts { method, uri, version, headers, .. } = parts;
    RequestHead { method, uri, version, https, host: introduction.name(), headers }
}

/// Brings the path into its one form, finds out who the client is, and says so to whoever comes next, in the place of what strangers say.
/// With what is left to be removed once the route is found: it may depend on that.
pub(super) fn clean(exchange: &mut Exchange) -> Result<headers::Found, Stop> {
    let Exchange { view, listener, connection, introduction, record, .. } = exchange;
    let config = view.listener_config(*listener).ok_or(Reason::Internal)?;
    let record = record.as_deref_mut().ok_or(Reason::Internal)?;
    let path = normal::path(record.request.uri.path()).map_err(|_| Reason::MalformedHead)?;
    let path = match path {
        std::borrow::Cow::Borrowed(_) => None,
        std::borrow::Cow::Owned(path) => Some(path),
    };
    if let Some(path) = path {
        record.request.uri = with_path(&record.request.uri, &path)?;
    }
    let peer = connection.peer.ip().to_canonical();
    record.trusted_peer = config.trusted_proxies.iter().any(|network| network.contains(peer));
    record.client = headers::client_address(peer, &config.trusted_proxies, &record.request.headers);
    if record.trusted_peer
        && let Some(https) = headers::client_https(&record.request.headers)
    {
        record.request.https = https;
    }
    let found = headers::Found::among(&record.request.headers);
    if !record.trusted_peer {
        found.forget_claims(&mut record.request.headers);
    }
    // The target says whom the request is for where it can, `Host` where it cannot; from here on it is `Host`, which plugins may set.
    if let Some(Ok(host)) = record.request.uri.authority().map(|authority| HeaderValue::from_str(authority.as_str())) {
        record.request.headers.insert(HOST, host);
    }
    headers::forward(&mut record.request.headers, introduction, record.trusted_peer);
    Ok(found)
}

/// Removes what was meant for this hop only.
pub(super) fn strip(exchange: &mut Exchange, found: headers::Found) -> Result<(), Stop> {
    let record = exchange.record()?;
    found.strip_request(&mut record.request.headers);
    // What hyper answers itself: the upstream must not be asked to do so again.
    record.request.headers.remove(EXPECT);
    headers::add_via(&mut record.request.headers, record.request.version);
    Ok(())
}

fn with_path(uri: &http::Uri, path: &str) -> Result<http::Uri, Stop> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().map_err(|_| Reason::MalformedHead)?);
    http::Uri::from_parts(parts).map_err(|_| Reason::MalformedHead.into())
}
