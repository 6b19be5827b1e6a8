//! A body that is held back, as far as plugins want: read, shown to them while the head still waits, and put in place again.
//! It does not know where the body goes.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http_body::Frame;
use tidegate_abi::{Mode, Overflow};

use crate::error::Reason;
use crate::exchange::bodies::{Reader, Way};
use crate::exchange::{Exchange, Stop, chain};
use crate::plugin::contract::{BodyWish, Matter, Piece};
use crate::view::Share;
use crate::wire::body::Body;

/// A piece that is smaller than this is put together with others: on its own it takes more than its bytes, and keeps alive what it
/// was read into. A client chooses the size of its pieces.
const SMALL: usize = 4 * 1024;
/// As much is put together at most.
const TOGETHER: usize = 64 * 1024;

/// What was read of a body.
#[derive(Debug, Default)]
struct Held {
    pieces: Vec<Bytes>,
    /// Behind them: small ones, put together.
    small: BytesMut,
    length: usize,
    ended: bool,
    trailers: Option<HeaderMap>,
}

/// A plugin that holds the body, as it wishes, and what of its budget that takes.
#[derive(Debug)]
struct Holder {
    reader: Reader,
    wish: BodyWish,
    share: Option<Share>,
}

/// Reads as much of the body as those need who hold it, calls their hooks in order, and gives the body back with what they made of it.
pub(super) async fn read(exchange: &mut Exchange, way: Way, body: &mut Body, readers: &[Reader]) -> Result<(), Stop> {
    let mut holders: Vec<Holder> = readers.iter().filter_map(|reader| Holder::of(exchange, reader)).collect();
    if holders.is_empty() {
        return Ok(());
    }
    let mut held = Held::default();
    // Of those that are passed over: what was read stays here until it goes on.
    let mut shares = Vec::new();
    while held.wants_more(&holders, body) {
        let polled = chain::within(exchange, |_, cx| http_body::Body::poll_frame(Pin::new(body), cx)).await;
        match polled {
            Ok(Some(Ok(frame))) => held.add(frame, body),
            Ok(Some(Err(error))) => return Err(broken(exchange, way, error.reason)),
            Ok(None) => held.ended = true,
            Err(stop) => return Err(stop),
        }
        for holder in holders.extract_if(.., |holder| !holder.may_hold(held.length)) {
            holder.pass_over(exchange)?;
            shares.extend(holder.share);
        }
    }
    let before = held.length;
    for holder in &holders {
        show(exchange, way, holder, &mut held).await?;
    }
    if held.length != before
        && let Some(headers) = way.headers(exchange)
        && let Some(length) = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
    {
        let rest = length.saturating_sub(before as u64);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(rest.saturating_add(held.length as u64)));
    }
    let rest = std::mem::take(body);
    let first = held.join();
    for holder in holders {
        let length = holder.needs(first.len());
        shares.extend(holder.share.map(|share| share.with(length)));
    }
    *body = Body::ahead(first, (!held.ended).then_some(rest), held.trailers, Box::new(shares));
    Ok(())
}

/// Calls the hook of one plugin that holds the body.
async fn show(exchange: &mut Exchange, way: Way, holder: &Holder, held: &mut Held) -> Result<(), Stop> {
    let Holder { reader, wish, .. } = holder;
    let whole = held.join();
    let seen = if wish.mode == Mode::Peek { whole.slice(..wish.limit.min(whole.len())) } else { whole.clone() };
    if wish.mode == Mode::Buffer && (!held.ended || held.length > wish.limit) {
        return overflow(exchange, way, reader, wish.overflow);
    }
    let is_last = held.ended && seen.len() == whole.len();
    let piece = Piece { bytes: seen.clone(), is_last, holds_head: true, may_change: true, changed: false };
    let matter = chain::piece(exchange, way.hook(), reader.plugin, reader.slot, Matter::Piece(piece)).await?;
    if let Matter::Piece(piece) = matter
        && piece.changed
    {
        held.put([piece.bytes, whole.slice(seen.len()..)]);
    }
    Ok(())
}

/// The body is longer than the plugin wants to hold.
fn overflow(exchange: &mut Exchange, way: Way, reader: &Reader, overflow: Overflow) -> Result<(), Stop> {
    match (overflow, way) {
        (Overflow::Pass, _) => Ok(()),
        (Overflow::Reject, Way::Request) => Err(Reason::BodyTooLarge.into()),
        (Overflow::Reject, Way::Response) => Err(broken(exchange, way, Reason::UpstreamBodyTooLarge)),
        (Overflow::Fail, _) if exchange.view.fails_closed(reader.plugin) => Err(Reason::PluginFailed.into()),
        (Overflow::Fail, _) => Ok(()),
    }
}

/// A body that broke while it was held; where it is the upstream's, that is what became of the attempt.
fn broken(exchange: &mut Exchange, way: Way, reason: Reason) -> Stop {
    if way == Way::Response
        && let Some(record) = &mut exchange.record
        && let Some(attempt) = record.attempts.last_mut()
    {
        attempt.error.get_or_insert(reason);
    }
    reason.into()
}

// === impl Holder ===

impl Holder {
    fn of(exchange: &Exchange, reader: &Reader) -> Option<Self> {
        let wish = reader.wish.filter(|wish| wish.mode.holds_head())?;
        Some(Self { reader: *reader, wish, share: exchange.view.share(reader.plugin) })
    }

    /// Whether the plugin may hold so many bytes of this body, with what it holds of others.
    fn may_hold(&mut self, bytes: usize) -> bool {
        let bytes = self.needs(bytes);
        self.share.as_mut().is_none_or(|share| share.grow(bytes))
    }

    /// How many of so many bytes the plugin has a use for.
    fn needs(&self, bytes: usize) -> usize {
        if self.wish.mode == Mode::Peek { bytes.min(self.wish.limit) } else { bytes }
    }

    /// The body passes by the plugin unseen, unless that must not be.
    fn pass_over(&self, exchange: &Exchange) -> Result<(), Stop> {
        let refuses = self.wish.mode == Mode::Buffer && self.wish.overflow == Overflow::Reject;
        if refuses || exchange.view.fails_closed(self.reader.plugin) {
            return Err(Reason::PluginOverloaded.into());
        }
        Ok(())
    }
}

// === impl Held ===

impl Held {
    /// Whether somebody needs more than was read.
    fn wants_more(&self, holders: &[Holder], body: &Body) -> bool {
        let left = http_body::Body::size_hint(body).exact();
        !self.ended
            && holders.iter().map(|holder| holder.wish).any(|wish| match wish.mode {
                Mode::Peek => self.length < wish.limit,
                // One that is known to be too long need not be read to see that.
                Mode::Buffer => {
                    self.length <= wish.limit
                        && left.is_none_or(|left| left.saturating_add(self.length as u64) <= wish.limit as u64)
                }
                Mode::Stream | Mode::Rewrite | Mode::Skip => false,
            })
    }

    fn add(&mut self, frame: Frame<Bytes>, body: &Body) {
        match frame.into_data() {
            Ok(data) => {
                self.length += data.len();
                self.keep(data);
                self.ended = http_body::Body::is_end_stream(body);
            }
            Err(frame) => {
                self.trailers = frame.into_trailers().ok();
                self.ended = true;
            }
        }
    }

    fn keep(&mut self, data: Bytes) {
        // Most bodies are one piece.
        if data.len() >= SMALL || self.pieces.is_empty() {
            self.settle();
            self.pieces.push(data);
            return;
        }
        self.small.extend_from_slice(&data);
        if self.small.len() >= TOGETHER {
            self.settle();
        }
    }

    fn settle(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(std::mem::take(&mut self.small).freeze());
        }
    }

    /// All of it in one piece.
    fn join(&mut self) -> Bytes {
        self.settle();
        match self.pieces.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            pieces => {
                let mut whole = BytesMut::with_capacity(self.length);
                pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
                let whole = whole.freeze();
                self.pieces = vec![whole.clone()];
                whole
            }
        }
    }

    fn put(&mut self, pieces: [Bytes; 2]) {
        self.pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        self.length = self.pieces.iter().map(Bytes::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_a_hundred_thousand_pieces_is_held_in_a_few() {
        let (mut held, more) = (Held::default(), Body::full("more"));
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        for byte in &sent {
            held.add(Frame::data(Bytes::copy_from_slice(&[*byte])), &more);
        }
        assert!(held.pieces.len() < 5, "{} pieces", held.pieces.len());
        assert_eq!((held.length, &held.join()[..]), (sent.len(), &sent[..]));
    }

    #[test]
    fn pieces_of_any_size_stay_in_order() {
        let (mut held, more) = (Held::default(), Body::full("more"));
        let mut sent = Vec::new();
        for (size, byte) in [(1, 1), (9_000, 2), (5, 3), (70_000, 4), (0, 5), (4_000, 6), (4_096, 7), (3, 8)] {
            let piece = vec![byte; size];
            sent.extend_from_slice(&piece);
            held.add(Frame::data(piece.into()), &more);
        }
        assert_eq!((held.length, &held.join()[..]), (sent.len(), &sent[..]));
    }
}
