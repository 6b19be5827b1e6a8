//! Which streams of an HTTP/2 connection are open, and since when each waits for the client.
//! It knows nothing of requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// The open streams of one connection.
#[derive(Clone, Debug)]
pub(super) struct Streams(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Since when the client owes us room for what we gave; `None` while we owe it something. Free places are reused, so
    /// there are never more than streams were open at once.
    places: RefCell<Vec<Place>>,
    open: Cell<usize>,
    /// Whether there ever was one.
    used: Cell<bool>,
    /// When the last stream ended, or the connection began.
    idle_since: Cell<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    /// We work on it.
    Ours,
    /// The client took nothing since.
    Theirs(Instant),
}

/// One open stream; ends it when dropped.
#[derive(Debug)]
pub(super) struct StreamToken {
    shared: Rc<Shared>,
    place: usize,
}

// === impl Streams ===

impl Streams {
    pub(super) fn new() -> Self {
        Self(Rc::new(Shared {
            places: RefCell::default(),
            open: Cell::new(0),
            used: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
        }))
    }

    pub(super) fn open(&self) -> StreamToken {
        let mut places = self.0.places.borrow_mut();
        let place = places.iter().position(|place| *place == Place::Free).unwrap_or_else(|| {
            places.push(Place::Free);
            places.len() - 1
        });
        if let Some(place) = places.get_mut(place) {
            *place = Place::Ours;
        }
        self.0.open.set(self.0.open.get() + 1);
        self.0.used.set(true);
        StreamToken { shared: Rc::clone(&self.0), place }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.0.open.get() == 0
    }

    /// Whether there ever was a stream.
    pub(super) fn was_used(&self) -> bool {
        self.0.used.get()
    }

    /// Begins the time of silence anew.
    pub(super) fn touch(&self) {
        self.0.idle_since.set(Instant::now());
    }

    /// When the connection has stood still for `limit`.
    pub(super) fn deadline(&self, limit: Duration) -> Instant {
        if self.is_idle() {
            return self.0.idle_since.get() + limit;
        }
        let places = self.0.places.borrow();
        let waiting = places.iter().filter_map(|place| match place {
            Place::Theirs(since) => Some(*since),
            Place::Free | Place::Ours => None,
        });
        waiting.min().unwrap_or_else(Instant::now) + limit
    }
}

// === impl StreamToken ===

impl StreamToken {
    /// The body was asked for more; `gave` when there was something to give, which the client must now take.
    pub(super) fn moved(&self, gave: bool) {
        self.set(if gave { Place::Theirs(Instant::now()) } else { Place::Ours });
    }

    fn set(&self, to: Place) {
        if let Some(place) = self.shared.places.borrow_mut().get_mut(self.place) {
            *place = to;
        }
    }
}

impl Drop for StreamToken {
    fn drop(&mut self) {
        self.set(Place::Free);
        self.shared.open.set(self.shared.open.get().saturating_sub(1));
        self.shared.idle_since.set(Instant::now());
    }
}
