//! What the exchanges of one client connection have in common.
//! It carries no bytes.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::exchange::guests::Guests;
use crate::listen::Admitted;
use crate::view::View;
use crate::vitals::Alive;
use crate::wire::clock::Clock;
use crate::wire::headers::{Hop, Introduction};

/// A client connection.
pub struct Connection {
    slot: Rc<RefCell<Place>>,
    /// The other end of the socket.
    pub peer: SocketAddr,
    /// Our end of the socket.
    pub local: SocketAddr,
    pub https: bool,
    /// Exchanges so far.
    pub(super) exchanges: Cell<u64>,
    /// The plugins that hear of its end.
    guests: Cell<Option<Guests>>,
    /// The timer of the exchange under way; over HTTP/2 of one of them.
    pub(super) clock: RefCell<Clock>,
    /// How its last request was introduced to an upstream.
    introduction: RefCell<Option<Rc<Introduction>>>,
    /// Given back when the connection's last exchange is over, a WebSocket's too.
    _admitted: Admitted,
    _alive: Alive,
}

/// The version that new exchanges of a listener see, and which of its listeners it is there.
#[derive(Clone, Debug)]
pub struct Place {
    pub view: Rc<View>,
    /// Index into the version's listeners.
    pub listener: usize,
}

// === impl Connection ===

impl Connection {
    /// A connection accepted by the listener that `slot` belongs to; a reload changes what is in the slot.
    pub fn new(
        slot: Rc<RefCell<Place>>,
        peer: SocketAddr,
        local: SocketAddr,
        https: bool,
        admitted: Admitted,
        alive: Alive,
    ) -> Self {
        Self {
            slot,
            peer,
            local,
            https,
            exchanges: Cell::new(0),
            guests: Cell::new(None),
            clock: RefCell::default(),
            introduction: RefCell::default(),
            _admitted: admitted,
            _alive: alive,
        }
    }

    /// Has these plugins told when the connection and the last of its exchanges are over.
    pub(crate) fn host(&self, guests: Guests) {
        self.guests.set(Some(guests));
    }

    /// How a request for `host` is introduced to an upstream; nearly always as the one before.
    pub(super) fn introduce(&self, host: Option<&str>) -> Rc<Introduction> {
        let mut last = self.introduction.borrow_mut();
        match &*last {
            Some(known) if known.is_for(host) => Rc::clone(known),
            _ => {
                let hop = Hop { peer: self.peer.ip(), https: self.https, host, port: self.local.port() };
                Rc::clone(last.insert(Rc::new(Introduction::new(&hop))))
            }
        }
    }

    /// What is current now; taken once for each exchange.
    pub(crate) fn place(&self) -> Place {
        self.slot.borrow().clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(guests) = self.guests.take() {
            guests.leave(self.exchanges.get());
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).field("https", &self.https).finish_non_exhaustive()
    }
}
