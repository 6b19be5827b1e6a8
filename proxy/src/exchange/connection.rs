//! What the exchanges of one client connection have in common.
//! It carries no bytes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::listen::Admitted;
use crate::view::View;
use crate::vitals::Alive;
use crate::wire::clock::Clock;
use crate::wire::headers::Introduction;

/// A client connection.
#[derive(Debug)]
pub struct Connection {
    slot: Rc<RefCell<Place>>,
    /// The other end of the socket.
    pub peer: SocketAddr,
    /// Our end of the socket.
    pub local: SocketAddr,
    pub https: bool,
    /// The timer of the exchange under way; over HTTP/2 of one of them.
    pub(super) clock: RefCell<Clock>,
    /// How its last request was introduced to an upstream.
    pub(super) introduction: RefCell<Option<Introduction>>,
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
            clock: RefCell::default(),
            introduction: RefCell::default(),
            _admitted: admitted,
            _alive: alive,
        }
    }

    /// What is current now; taken once for each exchange.
    pub(crate) fn place(&self) -> Place {
        self.slot.borrow().clone()
    }
}
