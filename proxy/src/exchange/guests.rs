//! The plugins of a listener, told of its connections: one that opens can be refused, one that has ended is noted.
//! It knows nothing of what goes over a connection.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tidegate_abi::Hook;
use tokio::sync::oneshot;

use crate::exchange::connection::{Connection, Place};
use crate::exchange::waiting::Seat;
use crate::plugin::contract::{Link, Matter, Outcome};

/// The plugins that hear of the end of a connection.
#[derive(Debug)]
pub(crate) struct Guests {
    /// Says how many exchanges there were.
    over: oneshot::Sender<u64>,
}

/// A plugin does not want the connection.
#[derive(Debug)]
pub(crate) struct Refused;

/// Calls the hooks for a connection that opens. `None` where none wants to hear of its end.
///
/// # Errors
/// Where one of them refuses it.
pub(crate) async fn greet(place: Place, connection: &Connection) -> Result<Option<Guests>, Refused> {
    let view = place.view;
    let (peer, https) = (connection.peer, connection.https);
    let listener = view.listener(place.listener).map(|scope| Arc::clone(&scope.name)).ok_or(Refused)?;
    let (opened, opened_at) = (Instant::now(), SystemTime::now());
    let link = move |exchanges| Link { listener: Arc::clone(&listener), peer, https, opened, opened_at, exchanges };
    let mut seats = Vec::new();
    for &plugin in view.connection_plugins(place.listener) {
        let Some(seat) = Seat::open(&view, plugin) else {
            // It could not be loaded. Whether that matters is for its configuration to say.
            if view.fails_closed(plugin) {
                return Err(Refused);
            }
            continue;
        };
        let (_, outcome) = seat.call(Hook::ConnectionOpen, Matter::Connection(Arc::new(link(0)))).await;
        if !matches!(outcome, Outcome::Continue) {
            return Err(Refused);
        }
        seats.push(seat);
    }
    let hears = |seat: &Seat| seat.instance().is_some_and(|instance| instance.subscribes(Hook::ConnectionClose));
    if !seats.iter().any(hears) {
        seats.clear();
        return Ok(None);
    }
    let (over, is_over) = oneshot::channel();
    // Slots are kept until the connection has ended, as a plugin keeps in one what it knows of the connection.
    drop(tokio::task::spawn_local(async move {
        let Ok(exchanges) = is_over.await else { return };
        let link = Arc::new(link(exchanges));
        for seat in seats {
            let _ = seat.call(Hook::ConnectionClose, Matter::Connection(Arc::clone(&link))).await;
        }
    }));
    Ok(Some(Guests { over }))
}

// === impl Guests ===

impl Guests {
    /// The connection is closed, and so many exchanges went over it.
    pub(super) fn leave(self, exchanges: u64) {
        // Where the worker has ended, nobody listens any more.
        let _ = self.over.send(exchanges);
    }
}
