//! A body on its way through the plugins that see each piece of it, and its trailers.
//! It knows neither side's connection.

mod request;
mod response;

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};

pub(super) use self::request::RequestFilter;
pub(super) use self::response::ResponseFilter;
use crate::exchange::bodies::{Reader, Way};
use crate::exchange::desk::Desk;
use crate::exchange::pace::Pace;
use crate::exchange::waiting::Waiting;
use crate::exchange::{Stop, chain};
use crate::plugin::contract::{Matter, Outcome, Piece};
use crate::telemetry::record::Record;
use crate::view::View;
use crate::wire::body::{Body, BodyError};

/// The readers of a body, and how far a piece of it has come through them.
#[derive(Debug)]
pub(super) struct Filter {
    way: Way,
    readers: Vec<Reader>,
    at: At,
    /// Whether they have had the last piece.
    told: bool,
    /// What follows once the last piece is through.
    trailers: Option<HeaderMap>,
    rewrites: bool,
    pace: Pace,
}

#[derive(Debug)]
enum At {
    /// The next piece is to be read.
    Source,
    /// This is to be shown to the reader at the position, and those after it.
    Reader(usize, Matter),
    /// The reader at the position waits.
    Waiting(usize, Matter, Waiting),
    /// Nothing more comes.
    End,
}

/// Why a body ends early.
#[derive(Debug)]
pub(super) enum Broken {
    Body(BodyError),
    /// A plugin said so.
    Stop(Stop),
}

/// What the readers work with.
pub(super) struct Means<'a> {
    pub(super) view: &'a Rc<View>,
    pub(super) desk: Option<&'a Desk>,
    pub(super) record: &'a mut Option<Box<Record>>,
}

// === impl Filter ===

impl Filter {
    pub(super) fn new(way: Way, readers: Vec<Reader>) -> Self {
        let rewrites = readers.iter().any(Reader::rewrites);
        Self { way, readers, at: At::Source, told: false, trailers: None, rewrites, pace: Pace::default() }
    }

    /// Whether a reader may change what passes.
    pub(super) const fn rewrites(&self) -> bool {
        self.rewrites
    }

    /// Whether all has come through.
    pub(super) const fn is_done(&self) -> bool {
        matches!(self.at, At::End)
    }

    /// Whether a reader waits, rather than a piece is waited for.
    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.at, At::Reader(..) | At::Waiting(..))
    }

    /// How much will come through, where that is known.
    pub(super) fn size_hint(&self, source: &Body) -> SizeHint {
        match &self.at {
            At::End => SizeHint::with_exact(0),
            At::Source if !self.rewrites => source.size_hint(),
            _ => SizeHint::new(),
        }
    }

    /// The next frame that has come through.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Body,
        means: &mut Means<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            match std::mem::replace(&mut self.at, At::End) {
                At::End => return Poll::Ready(None),
                At::Source => {
                    self.at = At::Source;
                    // As many pieces as the sender likes may be here.
                    ready!(self.pace.poll(cx));
                    let polled = ready!(Pin::new(&mut *source).poll_frame(cx));
                    self.at = match polled {
                        Some(Ok(frame)) => self.arrived(frame, source),
                        Some(Err(error)) => {
                            self.at = At::End;
                            return Poll::Ready(Some(Err(Broken::Body(error))));
                        }
                        None if self.told => At::End,
                        None => self.last(Bytes::new()),
                    };
                }
                At::Reader(position, matter) => match self.show(cx, position, matter, means) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(stop)) => return Poll::Ready(Some(Err(Broken::Stop(stop)))),
                    Poll::Pending => return Poll::Pending,
                },
                At::Waiting(position, mut matter, mut waiting) => {
                    let Poll::Ready(outcome) = waiting.poll(cx, means.view, means.record, &mut matter) else {
                        self.at = At::Waiting(position, matter, waiting);
                        return Poll::Pending;
                    };
                    if let Some(desk) = means.desk {
                        desk.turn();
                    }
                    self.at = At::Reader(position + 1, matter);
                    if let Err(stop) = chain::passed(outcome) {
                        self.at = At::End;
                        return Poll::Ready(Some(Err(Broken::Stop(stop))));
                    }
                }
            }
            if let At::Reader(position, _) = &self.at
                && *position >= self.readers.len()
                && let Some(frame) = self.through()
            {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }

    /// A frame is here.
    fn arrived(&mut self, frame: Frame<Bytes>, source: &Body) -> At {
        match frame.into_data() {
            Ok(data) if source.is_end_stream() => self.last(data),
            Ok(data) => piece(data, false),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                if self.told {
                    return At::Reader(0, Matter::Trailers(trailers));
                }
                self.trailers = Some(trailers);
                self.last(Bytes::new())
            }
        }
    }

    fn last(&mut self, data: Bytes) -> At {
        self.told = true;
        piece(data, true)
    }

    /// Shows it to the reader at the position, or passes it by.
    fn show(
        &mut self,
        cx: &mut Context<'_>,
        position: usize,
        mut matter: Matter,
        means: &mut Means<'_>,
    ) -> Poll<Result<(), Stop>> {
        let Some(reader) = self.readers.get(position).copied() else {
            self.at = At::Reader(position, matter);
            return Poll::Ready(Ok(()));
        };
        let (hook, concerned) = match &mut matter {
            Matter::Trailers(_) => (self.way.trailers(), reader.trailers),
            Matter::Piece(piece) => {
                piece.may_change = reader.rewrites();
                (self.way.hook(), reader.sees())
            }
            _ => (self.way.hook(), false),
        };
        let instance = means.view.instance(reader.plugin).filter(|_| concerned);
        let Some(instance) = instance else {
            self.at = At::Reader(position + 1, matter);
            return Poll::Ready(Ok(()));
        };
        if let Some(desk) = means.desk
            && instance.is_waiting(reader.slot)
        {
            desk.wait_for_turn(cx);
            self.at = At::Reader(position, matter);
            return Poll::Pending;
        }
        let record = means.record.take();
        let (record, matter, outcome) = self.pace.time(|| instance.call_with(hook, reader.slot, record, matter));
        *means.record = record;
        if matches!(outcome, Outcome::Pending) {
            let waiting = Waiting::begin(means.view, reader.plugin, reader.slot, means.record.as_deref_mut());
            self.at = At::Waiting(position, matter, waiting);
            return Poll::Ready(Ok(()));
        }
        self.at = At::Reader(position + 1, matter);
        let passed = chain::passed(outcome);
        if passed.is_err() {
            self.at = At::End;
        }
        Poll::Ready(passed)
    }

    /// Something has come through all readers; what of it goes on, and what comes next.
    fn through(&mut self) -> Option<Frame<Bytes>> {
        let At::Reader(_, matter) = std::mem::replace(&mut self.at, At::Source) else { return None };
        match matter {
            Matter::Trailers(trailers) => {
                self.at = At::End;
                (!trailers.is_empty()).then(|| Frame::trailers(trailers))
            }
            Matter::Piece(piece) => {
                if let Some(trailers) = self.trailers.take() {
                    self.at = At::Reader(0, Matter::Trailers(trailers));
                }
                (!piece.bytes.is_empty()).then(|| Frame::data(piece.bytes))
            }
            _ => None,
        }
    }

    /// Whether nothing more can come, without asking: the last piece is through and the source has nothing behind it.
    pub(super) fn settle(&mut self, source: &Body) {
        if self.told && matches!(self.at, At::Source) && source.is_end_stream() {
            self.at = At::End;
        }
    }

    /// Gives up the hook that waits.
    pub(super) fn give_up(&mut self, view: &View) {
        if let At::Waiting(_, _, waiting) = std::mem::replace(&mut self.at, At::End) {
            waiting.give_up(view);
        }
    }
}

fn piece(bytes: Bytes, is_last: bool) -> At {
    At::Reader(0, Matter::Piece(Piece { bytes, is_last, holds_head: false, may_change: false, changed: false }))
}
