//! The plugins' tick hooks: called by the worker's clock, apart from any exchange.
//! It keeps no time itself.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use tidegate_abi::Hook;

use crate::exchange::waiting::Seat;
use crate::plugin::contract::Matter;
use crate::view::View;

/// Calls the tick hook of every plugin whose time it is. One that still waits in its last tick is passed over; when the version is
/// replaced, it is given up.
pub(crate) fn tick(view: &Rc<View>, now: Instant) {
    for plugin in view.due(now) {
        let Some(seat) = Seat::open(view, plugin) else { continue };
        drop(tokio::task::spawn_local(async move {
            let view = Rc::clone(&seat.view);
            let mut call = pin!(seat.call(Hook::Tick, Matter::default()));
            poll_fn(|cx| match view.poll_retired(plugin, cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => call.as_mut().poll(cx).map(drop),
            })
            .await;
            view.ticked(plugin);
        }));
    }
}
