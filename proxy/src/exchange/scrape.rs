//! The paths of a listener that answer a scrape instead of being routed.
//! Such a request is no exchange: it is neither counted nor logged, as on the admin port.

use http::request::Parts;
use http::{HeaderValue, Method, Response, header};

use crate::error::Reason;
use crate::exchange::connection::Place;
use crate::wire::body::Body;

/// The metrics, if that is what the request asks for.
pub(super) fn answer(place: &Place, parts: &Parts, verdict: Result<(), Reason>) -> Option<Response<Body>> {
    let paths = place.view.scrape_paths(place.listener);
    if paths.is_empty() || verdict.is_err() || !matches!(parts.method, Method::GET | Method::HEAD) {
        return None;
    }
    paths.iter().find(|path| ***path == *parts.uri.path())?;
    let accept = parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let (content_type, text) = place.view.scraper().scrape(accept).ok()?;
    let length = text.len();
    let body = if parts.method == Method::HEAD { Body::empty() } else { Body::full(text) };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Some(response)
}
