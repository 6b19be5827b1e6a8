//! The plugins that look at a body: who of them holds it back, who sees it as it passes, and what becomes of its length.
//! It reads no body itself.

use std::rc::Rc;

use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use tidegate_abi::{self as abi, Hook, Mode};

use crate::exchange::desk::Desk;
use crate::exchange::filter::{Filter, RequestFilter};
use crate::exchange::{Exchange, Stop, chain, hold, request_body};
use crate::plugin::contract::{BodyWish, Slot};
use crate::wire::body::Body;

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Request,
    Response,
}

/// A plugin that looks at a body, or at what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    /// Its index in the configuration.
    pub(super) plugin: usize,
    pub(super) slot: Slot,
    /// How it wants the body; `None` where it only wants the trailers.
    pub(super) wish: Option<BodyWish>,
    pub(super) trailers: bool,
}

/// The request's body, before it is sent: held where plugins want that, and looked at on its way where they want that.
pub(super) async fn request(exchange: &mut Exchange, body: &mut Body) -> Result<(), Stop> {
    // Most routes have no such plugin, and most requests no body.
    if !exchange.chain().is_some_and(|route| route.reads_request_body) || http_body::Body::is_end_stream(body) {
        return Ok(());
    }
    Box::pin(request_read(exchange, body)).await
}

/// The response's body, before its head is sent. Returns those that look at it on its way, last to first.
pub(super) async fn response(exchange: &mut Exchange, body: &mut Body) -> Result<Vec<Reader>, Stop> {
    if !exchange.chain().is_some_and(|route| route.reads_response_body) || http_body::Body::is_end_stream(body) {
        return Ok(Vec::new());
    }
    Box::pin(response_read(exchange, body)).await
}

async fn request_read(exchange: &mut Exchange, body: &mut Body) -> Result<(), Stop> {
    let readers = Way::Request.readers(exchange);
    if readers.is_empty() {
        return Ok(());
    }
    // What the client sends is counted, not what becomes of it.
    *body = request_body::watched(exchange, std::mem::take(body));
    hold::read(exchange, Way::Request, body, &readers).await?;
    let readers: Vec<Reader> = readers.into_iter().filter(Reader::streams).collect();
    if readers.is_empty() || http_body::Body::is_end_stream(body) {
        return Ok(());
    }
    if readers.iter().any(Reader::rewrites) {
        exchange.record()?.request.headers.remove(CONTENT_LENGTH);
    }
    let desk = Rc::new(Desk::default());
    exchange.aside().desk = Some(Rc::clone(&desk));
    let filter = Filter::new(Way::Request, readers);
    let view = Rc::clone(&exchange.view);
    *body = Body::made(Box::pin(RequestFilter { filter, view, desk, body: std::mem::take(body) }));
    Ok(())
}

async fn response_read(exchange: &mut Exchange, body: &mut Body) -> Result<Vec<Reader>, Stop> {
    let mut readers = Way::Response.readers(exchange);
    if readers.is_empty() {
        return Ok(readers);
    }
    hold::read(exchange, Way::Response, body, &readers).await?;
    readers.retain(Reader::streams);
    if http_body::Body::is_end_stream(body) {
        readers.clear();
    }
    if readers.iter().any(Reader::rewrites)
        && let Some(headers) = Way::Response.headers(exchange)
    {
        headers.remove(CONTENT_LENGTH);
    }
    Ok(readers)
}

// === impl Way ===

impl Way {
    pub(super) const fn hook(self) -> Hook {
        match self {
            Self::Request => Hook::RequestBody,
            Self::Response => Hook::ResponseBody,
        }
    }

    pub(super) const fn trailers(self) -> Hook {
        match self {
            Self::Request => Hook::RequestTrailers,
            Self::Response => Hook::ResponseTrailers,
        }
    }

    const fn body(self) -> abi::Body {
        match self {
            Self::Request => abi::Body::Request,
            Self::Response => abi::Body::Response,
        }
    }

    /// The headers of the message, while they wait.
    pub(super) fn headers(self, exchange: &mut Exchange) -> Option<&mut HeaderMap> {
        let record = exchange.record.as_deref_mut()?;
        match self {
            Self::Request => Some(&mut record.request.headers),
            Self::Response => record.response.as_mut().map(|head| &mut head.headers),
        }
    }

    /// The plugins that want anything of the body, in the order in which they have it.
    fn readers(self, exchange: &mut Exchange) -> Vec<Reader> {
        let view = Rc::clone(&exchange.view);
        let Some(route) = exchange.route.and_then(|route| view.route(route)) else { return Vec::new() };
        let (bodies, trailers) = (route.chain.of(self.hook()), route.chain.of(self.trailers()));
        let reader = |position: usize| {
            let (plugin, slot) = chain::seat(exchange, position)?;
            let wish = match bodies.contains(&position) {
                true => view.instance(plugin)?.body_wish(slot, self.body()).filter(|wish| wish.mode != Mode::Skip),
                false => None,
            };
            let trailers = trailers.contains(&position);
            (wish.is_some() || trailers).then_some(Reader { plugin, slot, wish, trailers })
        };
        let positions = 0..route.plugins.len();
        let wanted = positions.filter(|position| bodies.contains(position) || trailers.contains(position));
        match self {
            Self::Request => wanted.filter_map(reader).collect(),
            Self::Response => wanted.rev().filter_map(reader).collect(),
        }
    }
}

// === impl Reader ===

impl Reader {
    fn has(&self, wanted: impl Fn(Mode) -> bool) -> bool {
        self.wish.is_some_and(|wish| wanted(wish.mode))
    }

    /// Whether it looks at the body, or its trailers, as they pass.
    fn streams(&self) -> bool {
        self.trailers || self.sees()
    }

    /// Whether it has each piece of the body as it passes.
    pub(super) fn sees(&self) -> bool {
        self.has(|mode| matches!(mode, Mode::Stream | Mode::Rewrite))
    }

    /// Whether it may change what it sees pass.
    pub(super) fn rewrites(&self) -> bool {
        self.has(|mode| mode == Mode::Rewrite)
    }
}
