//! How a worker is: whether its time is over, and how many client connections it has.
//! It acts on neither.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::telemetry::metrics::Gauge;

/// One worker's state, shared by everything on it.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Whether the time to shut down is over, and what is still under way ends.
    pub cut_off: Cell<bool>,
    pub connections: Cell<usize>,
    ended: Notify,
}

/// A client connection, counted from its acceptance until nothing uses it any more: an upgraded one too.
#[derive(Debug)]
pub struct Alive {
    vitals: Rc<Vitals>,
    active: Gauge,
}

// === impl Vitals ===

impl Vitals {
    /// Waits until there is no connection.
    pub async fn quiet(&self) {
        while self.connections.get() > 0 {
            self.ended.notified().await;
        }
    }
}

// === impl Alive ===

impl Alive {
    pub fn new(vitals: &Rc<Vitals>, active: &Gauge) -> Self {
        vitals.connections.set(vitals.connections.get() + 1);
        active.inc();
        Self { vitals: Rc::clone(vitals), active: active.clone() }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.active.dec();
        self.vitals.connections.set(self.vitals.connections.get().saturating_sub(1));
        self.vitals.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Registry;
    use crate::telemetry::metrics::catalogue::Catalogue;

    #[tokio::test]
    async fn it_is_quiet_once_the_last_connection_is_gone() {
        let registry = Registry::new();
        let catalogue = Catalogue::new(&registry).unwrap();
        let active = registry.shard().gauge(&catalogue.admission.connections_active, &["web"]);
        let vitals = Rc::new(Vitals::default());
        vitals.quiet().await;
        let mut alive = vec![Alive::new(&vitals, &active), Alive::new(&vitals, &active)];
        let mut quiet = std::pin::pin!(vitals.quiet());
        for left in [1, 0] {
            assert!(futures_util::poll!(quiet.as_mut()).is_pending());
            alive.pop();
            assert_eq!(vitals.connections.get(), left);
        }
        quiet.await;
    }
}
